/* What runs the model, as the self-test sees it: TensorFlow Lite Micro behind model.cc, or anything else of yours. */
#ifndef EDGEKD_ENGINE_H_
#define EDGEKD_ENGINE_H_

#include "spec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One input or output, as the interpreter has it. */
typedef struct {
  void *data;
  edgekd_type type;
  size_t bytes;
  float scale;
  int32_t zero_point;
} edgekd_slot;

typedef struct {
  void *context;
  /* one of TensorFlow Lite Micro's inputs or outputs by its number; false: there is none */
  bool (*input)(void *context, int number, edgekd_slot *slot);
  bool (*output)(void *context, int number, edgekd_slot *slot);
  bool (*invoke)(void *context);
  const char *version; /* of the kernels, in words */
} edgekd_engine;

/* Why an input or output is not the one that the model was made with; NULL where it is. */
const char *edgekd_unlike(const edgekd_tensor *tensor, const edgekd_slot *slot);

/* The same of all of them. */
const char *edgekd_engine_unlike(const edgekd_engine *engine);

#ifdef __cplusplus
}
#endif
#endif
