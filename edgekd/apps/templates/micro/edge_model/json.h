/* JSON by a print function: without printf, which small C libraries have without floats. */
#ifndef EDGEKD_JSON_H_
#define EDGEKD_JSON_H_

#include <stdbool.h>
#include <stdint.h>

typedef void (*edgekd_print)(const char *text);

void edgekd_json_text(edgekd_print print, const char *text);    /* "quoted"; NULL is "" */
void edgekd_json_number(edgekd_print print, float value);       /* 1.234567e-3; null where it is not finite */
void edgekd_json_whole(edgekd_print print, uint32_t value);     /* 50 */
void edgekd_json_passed(edgekd_print print, int passed);        /* true, false, or null where it is below 0 */

#endif
