#include "json.h"

#include <math.h>

void edgekd_json_text(edgekd_print print, const char *text) {
  char piece[2] = {0, 0};
  print("\"");
  for (; text != 0 && *text != 0; text++) {
    if (*text == '"' || *text == '\\') print("\\");
    piece[0] = (unsigned char)*text < 32 ? ' ' : *text;
    print(piece);
  }
  print("\"");
}

void edgekd_json_whole(edgekd_print print, uint32_t value) {
  char digits[11];
  char *next = digits + sizeof digits - 1;
  *next = 0;
  do {
    *--next = (char)('0' + value % 10);
    value /= 10;
  } while (value > 0);
  print(next);
}

void edgekd_json_number(edgekd_print print, float value) {
  int power = 0;
  double left = value;
  char digits[9];
  if (!isfinite(value)) {
    print("null");
    return;
  }
  if (left < 0) {
    print("-");
    left = -left;
  }
  for (; left >= 9.9999995; power++) left /= 10;
  for (; left > 0 && left < 0.99999995; power--) left *= 10;
  const uint32_t whole = (uint32_t)(left * 1e6 + 0.5); /* one digit and six */
  digits[0] = (char)('0' + whole / 1000000);
  digits[1] = '.';
  for (uint32_t i = 0, rest = whole % 1000000; i < 6; i++, rest = rest % 100000 * 10) {
    digits[2 + i] = (char)('0' + rest / 100000);
  }
  digits[8] = 0;
  print(digits);
  print(power < 0 ? "e-" : "e");
  edgekd_json_whole(print, (uint32_t)(power < 0 ? -power : power));
}

void edgekd_json_passed(edgekd_print print, int passed) { print(passed < 0 ? "null" : passed ? "true" : "false"); }
