// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "io/file_error.hpp"

namespace logsum::io {
namespace {

TEST(Messages, AreOneHarmlessLine) {
  EXPECT_EQ(printable("plain caf\xc3\xa9 \xe6\x97\xa5"), "plain caf\xc3\xa9 \xe6\x97\xa5");
  EXPECT_EQ(printable("a\nb\x1b[2J\x7f\\"), R"(a\x0ab\x1b[2J\x7f\\)");
  EXPECT_EQ(printable("\xc2\x9b"), R"(\xc2\x9b)");          // C1 control
  EXPECT_EQ(printable("\xe2\x80\xae"), R"(\xe2\x80\xae)");  // right-to-left override
  EXPECT_EQ(printable("\xe2\x80\xa8"), R"(\xe2\x80\xa8)");  // line separator
  // Overlong, surrogate, beyond Unicode, cut short, stray continuation.
  for (const char* bad : {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xe6\x97", "\x80", "\xff", "\xf5\x80\x80\x80"})
    EXPECT_EQ(printable(bad).find_first_not_of("\\x0123456789abcdef"), std::string::npos);
  EXPECT_EQ(printable(std::string(100, 'a'), 5), "aaaaa...");
  EXPECT_EQ(in_quotes("say \"x\""), R"("say \"x\"")");
  EXPECT_STREQ(FileError("a\nb", "is wrong").what(), R"(a\x0ab: is wrong)");
}

}  // namespace
}  // namespace logsum::io
