// SPDX-License-Identifier: Apache-2.0
// What stdout and stderr are, and a stdout that notices when it can't be written.
#pragma once

#include <string_view>

namespace logsum::cli {

// Columns of the terminal behind a descriptor; 0 where there is none, and lines may be of any
// length.
int terminal_width(int fd);

// A terminal that isn't dumb: lines can be redrawn.
bool can_redraw_lines(int fd);

// The same, and the user hasn't set NO_COLOR (no-color.org).
bool may_use_colour(int fd);

// Throws DataError if stdout can't take the text.
void write_stdout(std::string_view text);
void flush_stdout();

}  // namespace logsum::cli
