/* A board for tests of applications for microcontrollers. In the place of TensorFlow Lite Micro stands a table of what its
   own kernels gave for the recorded inputs (table.h, by tests/micro_board.py); LIE says how it goes wrong. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "crc32.h"
#include "self_test.h"
#include "table.h"

enum { HONEST, STALE, HUGE_VALUES, NO_NUMBER, THROWS, OTHER_SCALE, OTHER_TYPE, MISSING };

static _Alignas(16) uint8_t inputs[EDGEKD_INPUTS][TABLE_INPUT_BYTES];
static _Alignas(16) uint8_t outputs[EDGEKD_OUTPUTS][TABLE_OUTPUT_BYTES];
static int before = 0;

static bool input(void *context, int number, edgekd_slot *slot) {
  (void)context;
  if (number >= EDGEKD_INPUTS) return false;
  *slot = TABLE_INPUTS[number];
  slot->data = inputs[number];
  return true;
}

static bool output(void *context, int number, edgekd_slot *slot) {
  (void)context;
  if (number >= EDGEKD_OUTPUTS || LIE == MISSING) return false;
  *slot = TABLE_OUTPUTS[number];
  slot->data = outputs[number];
  if (LIE == OTHER_TYPE) slot->type = EDGEKD_INT16;
  if (LIE == OTHER_SCALE) slot->scale *= 2.0f;
  return true;
}

static bool invoke(void *context) {
  uint32_t sum = 0;
  (void)context;
  for (size_t i = 0; i < EDGEKD_INPUTS; i++) sum ^= edgekd_crc32(inputs[i], TABLE_INPUTS[i].bytes);
  for (int row = 0; row < TABLE_ROWS; row++) {
    if (table_sums[row] != sum) continue;
    const int taken = LIE == STALE ? before : row;
    before = row;
    for (size_t i = 0; i < EDGEKD_OUTPUTS; i++) {
      memcpy(outputs[i], table_rows[taken][i], TABLE_OUTPUTS[i].bytes);
      for (size_t k = 0; (LIE == HUGE_VALUES || LIE == NO_NUMBER) && k < TABLE_OUTPUTS[i].bytes / sizeof(float); k++) {
        ((float *)(void *)outputs[i])[k] = LIE == HUGE_VALUES ? 1e28f : NAN;
      }
    }
    return LIE != THROWS;
  }
  return false; /* an input that was never recorded */
}

static void print(const char *text) { fputs(text, stdout); }

static uint32_t microseconds(void) {
  static uint32_t now = 0xffffff00u; /* it starts again at zero on the way */
  return now += 9;
}

const edgekd_engine *table_engine(void);
bool test_board(const edgekd_engine *engine, const char *why);

const edgekd_engine *table_engine(void) {
  static const edgekd_engine engine = {NULL, input, output, invoke, "of a table"};
  return &engine;
}

bool test_board(const edgekd_engine *engine, const char *why) {
  const edgekd_board board = {
      .print = print, .microseconds = microseconds, .name = "a \"test\" board", .emulated = EMULATED, .number = false};
  return edgekd_self_test(engine, why, &board);
}

#ifndef BY_MODEL
int main(void) {
  test_board(table_engine(), NULL);
  return 0;
}
#endif
