#include "values.h"

#include <math.h>

static float limited(float value, float least, float most) {
  return value < least ? least : value > most ? most : value;
}

void edgekd_store(const edgekd_tensor *tensor, const float *values, void *stored) {
  for (size_t i = 0; i < tensor->count; i++) {
    const bool quantized = tensor->scale > 0.0f;
    const float value = quantized ? rintf(values[i] / tensor->scale) + (float)tensor->zero_point : values[i];
    switch (tensor->type) {
      case EDGEKD_FLOAT32: ((float *)stored)[i] = value; break;
      case EDGEKD_INT8: ((int8_t *)stored)[i] = (int8_t)limited(value, -128.0f, 127.0f); break;
      case EDGEKD_UINT8: ((uint8_t *)stored)[i] = (uint8_t)limited(value, 0.0f, 255.0f); break;
      case EDGEKD_INT16: ((int16_t *)stored)[i] = (int16_t)limited(value, -32768.0f, 32767.0f); break;
      case EDGEKD_INT32: ((int32_t *)stored)[i] = (int32_t)value; break;
      case EDGEKD_INT64: ((int64_t *)stored)[i] = (int64_t)value; break;
      case EDGEKD_BOOL: ((bool *)stored)[i] = value != 0.0f; break;
      case EDGEKD_OTHER: break;
    }
  }
}

float edgekd_value(const edgekd_tensor *tensor, const void *stored, size_t index) {
  float value = 0.0f;
  switch (tensor->type) {
    case EDGEKD_FLOAT32: value = ((const float *)stored)[index]; break;
    case EDGEKD_INT8: value = (float)((const int8_t *)stored)[index]; break;
    case EDGEKD_UINT8: value = (float)((const uint8_t *)stored)[index]; break;
    case EDGEKD_INT16: value = (float)((const int16_t *)stored)[index]; break;
    case EDGEKD_INT32: value = (float)((const int32_t *)stored)[index]; break;
    case EDGEKD_INT64: value = (float)((const int64_t *)stored)[index]; break;
    case EDGEKD_BOOL: value = ((const bool *)stored)[index] ? 1.0f : 0.0f; break;
    case EDGEKD_OTHER: break;
  }
  return tensor->scale > 0.0f ? (value - (float)tensor->zero_point) * tensor->scale : value;
}
