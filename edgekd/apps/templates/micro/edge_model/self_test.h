/* Does this model, on this board, still answer as was recorded? Then how fast it is. */
#ifndef EDGEKD_SELF_TEST_H_
#define EDGEKD_SELF_TEST_H_

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The board. All but `print` may be left out (NULL): what is not known is not told, without a clock nothing is timed. */
typedef struct {
  void (*print)(const char *text); /* takes selftest.json piece by piece, for example to a serial port */
  uint32_t (*microseconds)(void);  /* a clock that starts again at zero after 2^32 */
  const char *name, *processor, *system;
  const char *created;  /* when, as in "2026-01-31T12:00:00Z"; without it the time of the file counts */
  const char *emulated; /* what stands in for the board, such as "QEMU": then nothing is timed */
  bool number;          /* time it for a minute, for a number to rely on */
} edgekd_board;

/* Print selftest.json; true where every check passed. `engine` is edgekd::Model's, or NULL where there is none to run:
   then `why` says so. */
bool edgekd_self_test(const edgekd_engine *engine, const char *why, const edgekd_board *board);

#ifdef __cplusplus
}
#endif
#endif
