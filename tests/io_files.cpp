// SPDX-License-Identifier: Apache-2.0
// What touches the file system: mapping, atomic output, and ArrayFile on top of them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>

#include "io/array_file.hpp"
#include "io/atomic_file.hpp"
#include "io/file_error.hpp"
#include "io/npy.hpp"
#include "io/safetensors.hpp"

namespace logsum::io {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string pattern = (fs::temp_directory_path() / "logsum-io-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Files() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string make(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_))
      found.push_back(entry.path().filename().string());
    std::ranges::sort(found);
    return found;
  }
  static std::string error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const FileError& error) {
      return error.what();
    }
    return "no error";
  }

  fs::path folder_;
};

using Names = std::vector<std::string>;
using Mapped = Files;
using Atomic = Files;
using Arrays = Files;

TEST_F(Mapped, RefusesWhatIsNotAFileWithBytes) {
  const auto refusal = [](const std::string& name) {
    return error_of([&] { MappedFile file(name); });
  };
  EXPECT_EQ(refusal(path("none")), path("none") + ": cannot open: No such file or directory");
  EXPECT_EQ(refusal(path("")), path("") + ": is a directory; a regular file is needed");
  EXPECT_EQ(refusal(make("empty", "")), path("empty") + ": is empty");
  EXPECT_EQ(refusal("/dev/null"), "/dev/null: is not a regular file; only those can be mapped");
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(refusal(path("fifo")),
            path("fifo") + ": is not a regular file; only those can be mapped");
  if (::geteuid() != 0) {
    fs::permissions(make("secret", "x"), fs::perms::none);
    EXPECT_EQ(refusal(path("secret")), path("secret") + ": cannot open: Permission denied");
  }
}

std::size_t resident_pages(std::span<const std::byte> bytes) {
  // Pages of this process, not of the page cache: the Rss line of the mapping in smaps.
  std::ifstream maps("/proc/self/smaps");
  char start[32];
  std::snprintf(start, sizeof start, "%lx-", reinterpret_cast<unsigned long>(bytes.data()));
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with(start)) inside = true;
    if (inside && line.starts_with("Rss:"))
      return std::stoul(line.substr(4)) * 1024 / static_cast<std::size_t>(::getpagesize());
  }
  return 0;
}

TEST_F(Mapped, ReleaseDropsPagesAndKeepsThemReadable) {
  const auto page = static_cast<std::size_t>(::getpagesize());
  std::string content(64 * page + 5, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i % 251);
  const MappedFile file(make("big", content));
  const auto text = [&] {
    return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  };
  const auto expect_same = [&] { EXPECT_TRUE(text() == content); };

  file.will_need(3, content.size());
  expect_same();
  EXPECT_EQ(resident_pages(file.bytes()), 65u);
  file.release(0, content.size());
  EXPECT_EQ(resident_pages(file.bytes()), 0u);
  expect_same();

  // Row by row, where rows share pages: nothing but the page in use stays.
  const std::size_t row = page * 3 / 2 + 1;
  for (std::size_t begin = 0; begin < content.size(); begin += row) {
    file.release(begin, begin + row);
    EXPECT_TRUE(text() == content);
  }
  for (std::size_t begin = 0; begin < content.size(); begin += row)
    file.release(begin, begin + row);
  EXPECT_EQ(resident_pages(file.bytes()), 0u);
  expect_same();

  // A page with bytes after the range is kept; odd ranges are harmless.
  file.release(0, page - 1);
  EXPECT_EQ(resident_pages(file.bytes()), 65u);
  file.release(7, 7);
  file.release(content.size() + 100 * page, content.size() + 200 * page);
  file.release(10 * page, 5 * page);
  file.will_need(content.size() + 100 * page, content.size() + 200 * page);
  expect_same();
}

TEST_F(Atomic, AppearsOnCommitOnly) {
  {
    AtomicFile file(path("out"));
    file.write("hello ");
    file.write("world");
    EXPECT_FALSE(fs::exists(path("out")));
    EXPECT_LE(names().size(), 1u);
    file.commit();
    EXPECT_EQ(names(), Names{"out"});
  }
  EXPECT_EQ(names(), Names{"out"});
  EXPECT_EQ(read(path("out")), "hello world");
  // As any new file: 0666 less the umask.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  struct stat status = {};
  ASSERT_EQ(::stat(path("out").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0666u & ~mask);
}

TEST_F(Atomic, LeavesNothingWithoutCommit) {
  { AtomicFile file(path("out")); }
  EXPECT_EQ(names(), Names{});
  EXPECT_THROW(
      {
        AtomicFile file(path("out"));
        file.write("half");
        throw std::runtime_error("the computation failed");
      },
      std::runtime_error);
  EXPECT_EQ(names(), Names{});
}

TEST_F(Atomic, LeavesNothingOfAKilledProcess) {
  const int probe = ::open(path("").c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (probe < 0) GTEST_SKIP() << "this file system has no nameless files";
  ::close(probe);
  make("out", "old");
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(path("out"));
    file.write("half");
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(names(), Names{"out"});
  EXPECT_EQ(read(path("out")), "old");
}

TEST_F(Atomic, ReplacesAndKeepsPermissions) {
  make("out", "old");
  fs::permissions(path("out"), fs::perms(0640));
  {
    AtomicFile file(path("out"));
    file.write("new");
    EXPECT_EQ(read(path("out")), "old");
  }
  EXPECT_EQ(read(path("out")), "old");
  AtomicFile file(path("out"));
  file.write("new");
  file.commit();
  EXPECT_EQ(read(path("out")), "new");
  EXPECT_EQ(fs::status(path("out")).permissions(), fs::perms(0640));
  EXPECT_NE(error_of([&] { file.commit(); }), "no error");
  EXPECT_EQ(names(), Names{"out"});
}

TEST_F(Atomic, FollowsLinks) {
  fs::create_directory(path("folder"));
  make("folder/real", "old");
  fs::create_symlink("folder/real", path("link"));
  AtomicFile file(path("link"));
  file.write("new");
  file.commit();
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read(path("folder/real")), "new");
  fs::create_symlink("nowhere", path("dangling"));
  EXPECT_EQ(error_of([&] { AtomicFile(path("dangling")); }),
            path("dangling") + ": cannot follow the symbolic link: No such file or directory");
}

TEST_F(Atomic, RefusesBadTargets) {
  const auto refusal = [](const std::string& name) {
    return error_of([&] { AtomicFile file(name); });
  };
  EXPECT_EQ(refusal(path("no/out")), path("no/out") + ": cannot create: No such file or directory");
  EXPECT_EQ(refusal(path("")), path("") + ": cannot write: is a directory");
  EXPECT_EQ(refusal(path("no/")),
            path("no/") + ": cannot write: names a folder; a file name is needed");
  EXPECT_EQ(refusal(""), ": cannot write: names a folder; a file name is needed");
  EXPECT_EQ(refusal("/dev/null"), "/dev/null: cannot write: exists and is not a regular file");
  make("file", "x");
  EXPECT_EQ(refusal(path("file/out")), path("file/out") + ": cannot create: Not a directory");
  if (::geteuid() != 0) {
    fs::permissions(path("file"), fs::perms(0400));
    EXPECT_EQ(refusal(path("file")), path("file") + ": cannot write: Permission denied");
  }
}

// The limit on file sizes stands in for a full disk: write() stops short, then fails.
TEST_F(Atomic, ReportsAFullDisk) {
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 1000, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::vector<float> values(1000);
  const std::string message = error_of([&] {
    write_safetensors(path("out"), {{"a", DType::f32, {1000}, values.data(), 4000}});
  });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, path("out") + ": cannot write: File too large");
  EXPECT_EQ(names(), Names{});
}

TEST_F(Arrays, TellsTheFormatByContent) {
  std::vector<float> values(6);
  std::iota(values.begin(), values.end(), 1.0f);
  const ArrayInfo array{"logits", DType::f32, {2, 3}, values.data(), 24};
  write_npy(path("a.safetensors"), array);
  write_safetensors(path("b.npy"), {array}, {{"k", "v"}});
  for (const char* name : {"a.safetensors", "b.npy"}) {
    const ArrayFile file(path(name));
    ASSERT_EQ(file.arrays().size(), 1u);
    const ArrayInfo& read = file.arrays()[0];
    EXPECT_EQ(read.shape, array.shape);
    EXPECT_TRUE(is_aligned(read));
    ASSERT_EQ(read.bytes, 24u);
    file.will_need(read.data, read.bytes);
    file.release(read.data, read.bytes);
    EXPECT_EQ(std::memcmp(read.data, values.data(), 24), 0);
  }
  const ArrayFile npy(path("a.safetensors")), safetensors(path("b.npy"));
  EXPECT_STREQ(to_string(npy.format()), "npy");
  EXPECT_STREQ(to_string(safetensors.format()), "safetensors");
  EXPECT_NE(npy.find(""), nullptr);
  EXPECT_EQ(npy.find("logits"), nullptr);
  EXPECT_EQ(&safetensors.at("logits"), safetensors.find("logits"));
  EXPECT_EQ(safetensors.metadata().at("k"), "v");
  EXPECT_EQ(error_of([&] { static_cast<void>(npy.at("logits")); }),
            npy.path() + ": no array \"logits\": an NPY file holds one array, without a name");
  EXPECT_EQ(error_of([&] { static_cast<void>(safetensors.at("x\n")); }),
            safetensors.path() + ": no tensor \"x\\x0a\"; there are: \"logits\"");
}

TEST_F(Arrays, NamesTheTypeItCannotRead) {
  const std::string json = R"({"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})";
  make("x", std::string{static_cast<char>(json.size())} + std::string(7, '\0') + json + "ab");
  const ArrayFile file(path("x"));
  EXPECT_EQ(file.find("w"), nullptr);
  EXPECT_EQ(file.skipped().size(), 1u);
  EXPECT_EQ(error_of([&] { static_cast<void>(file.at("w")); }),
            path("x") +
                ": tensor \"w\" has dtype F8_E4M3; "
                "allowed: F32, F16, BF16, F64, I32, I64, U8, BOOL");
  EXPECT_EQ(error_of([&] { static_cast<void>(file.at("v")); }),
            path("x") + ": no tensor \"v\"; there are: none");
}

TEST_F(Arrays, RefusesOtherFiles) {
  EXPECT_EQ(error_of([&] { ArrayFile file(make("x", "PK\x03\x04....")); }),
            path("x") +
                ": is a ZIP archive, as .npz and .pt files are; "
                "allowed: safetensors and NPY");
  EXPECT_NE(error_of([&] {
              ArrayFile file(make("y", "text, and long enough"));
            }).find("not a safetensors file"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { ArrayFile file(path("none")); }),
            path("none") + ": cannot open: No such file or directory");
}

TEST_F(Arrays, WritersRefuseTheWrongNumberOfBytes) {
  const float values[2] = {};
  const ArrayInfo array{"a", DType::f32, {2}, values, 7};
  const std::string problem =
      ": cannot write array \"a\": it has 7 bytes, but shape [2] of f32 needs 8";
  EXPECT_EQ(error_of([&] { write_npy(path("out"), array); }), path("out") + problem);
  EXPECT_EQ(error_of([&] { write_safetensors(path("out"), {array}); }), path("out") + problem);
  EXPECT_EQ(names(), Names{});
}

}  // namespace
}  // namespace logsum::io
