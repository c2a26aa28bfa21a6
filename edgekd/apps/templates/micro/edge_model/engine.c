#include "engine.h"

#include <math.h>

const char *edgekd_unlike(const edgekd_tensor *tensor, const edgekd_slot *slot) {
  if (slot->data == NULL) return "a tensor has no memory";
  if (slot->type != tensor->type) return "a tensor has another type";
  if (slot->bytes != tensor->bytes) return "a tensor has another size";
  if (tensor->scale <= 0.0f) return NULL;
  if (!(fabsf(slot->scale - tensor->scale) <= 1e-6f * tensor->scale)) return "a tensor has another scale";
  return slot->zero_point == tensor->zero_point ? NULL : "a tensor has another zero point";
}

const char *edgekd_engine_unlike(const edgekd_engine *engine) {
  edgekd_slot slot;
  const char *why = NULL;
  for (size_t i = 0; i < EDGEKD_INPUTS && why == NULL; i++) {
    const bool found = engine->input(engine->context, edgekd_inputs[i].number, &slot);
    why = found ? edgekd_unlike(&edgekd_inputs[i], &slot) : "an input is missing";
  }
  for (size_t i = 0; i < EDGEKD_OUTPUTS && why == NULL; i++) {
    const bool found = engine->output(engine->context, edgekd_outputs[i].number, &slot);
    why = found ? edgekd_unlike(&edgekd_outputs[i], &slot) : "an output is missing";
  }
  return why;
}
