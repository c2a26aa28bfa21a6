/* Numbers to what a tensor stores, and back. */
#ifndef EDGEKD_VALUES_H_
#define EDGEKD_VALUES_H_

#include "spec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Store prepared values, `tensor->count` of them: quantized, rounded to even and limited where it has a scale. */
void edgekd_store(const edgekd_tensor *tensor, const float *values, void *stored);

/* One stored value as a number. */
float edgekd_value(const edgekd_tensor *tensor, const void *stored, size_t index);

#ifdef __cplusplus
}
#endif
#endif
