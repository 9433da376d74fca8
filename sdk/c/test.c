/* The filters natively: cc test.c && ./a.out. The component is tested by the host's tests. */
#include "miqro.h"

#define CHECK(filter, topic, expected, first)                                                     \
  do {                                                                                            \
    char copy[64];                                                                                \
    const char *matches[MIQRO_MATCHES];                                                           \
    bool found = miqro_matches(filter, topic, copy, matches);                                     \
    const char *match = found && matches[0] ? matches[0] : "-";                                   \
    if (found != expected || strcmp(match, first)) {                                              \
      printf("%s %s: expected %d %s, found %d %s\n", filter, topic, expected, first, found, match); \
      failed = 1;                                                                                 \
    }                                                                                             \
  } while (0)

int main(void) {
  int failed = 0;
  CHECK("a/#", "a", true, "");
  CHECK("a/#", "a/b/c", true, "b/c");
  CHECK("#", "a/b", true, "a/b");
  CHECK("+", "", true, "");
  CHECK("+/b", "a/b", true, "a");
  CHECK("a/+", "a", false, "-");
  CHECK("#", "$SYS/x", false, "-");
  CHECK("$share/g/a/+", "a/b", true, "b");
  CHECK("a", "a/b", false, "-");
  CHECK("a/b", "a", false, "-");
  CHECK("ab", "a", false, "-");
  CHECK("a/b", "a/b", true, "-");
  return failed;
}
