// A stand-in, written for tests after the public headers of TensorFlow Lite Micro: the few names that an application's
// model.cc uses. It runs no model: behind it stands the table of tests/micro_board.c. The real headers may differ.
#ifndef STAND_IN_MICRO_INTERPRETER_H_
#define STAND_IN_MICRO_INTERPRETER_H_

#include <cstddef>
#include <cstdint>

#include "engine.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#define TFLITE_SCHEMA_VERSION (3)

enum TfLiteType {
  kTfLiteNoType = 0,
  kTfLiteFloat32 = 1,
  kTfLiteInt32 = 2,
  kTfLiteUInt8 = 3,
  kTfLiteInt64 = 4,
  kTfLiteBool = 6,
  kTfLiteInt16 = 7,
  kTfLiteInt8 = 9,
};

struct TfLiteTensor {
  TfLiteType type;
  struct {
    void *data;
  } data;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  size_t bytes;
};

extern "C" const edgekd_engine *table_engine(void);

namespace tflite {

class MicroInterpreter {
 public:
  MicroInterpreter(const Model *, const MicroOpResolver &, uint8_t *arena, size_t size)
      : fits_(reinterpret_cast<uintptr_t>(arena) % 16 == 0 && size >= STAND_IN_ARENA), size_(size) {}
  TfLiteStatus AllocateTensors() { return fits_ ? kTfLiteOk : kTfLiteError; }
  TfLiteStatus Invoke() { return table_engine()->invoke(nullptr) ? kTfLiteOk : kTfLiteError; }
  TfLiteTensor *input(size_t index) { return told(table_engine()->input, index); }
  TfLiteTensor *output(size_t index) { return told(table_engine()->output, index); }
  size_t arena_used_bytes() const { return size_; }

 private:
  TfLiteTensor *told(bool (*ask)(void *, int, edgekd_slot *), size_t index) {
    const TfLiteType types[] = {kTfLiteNoType, kTfLiteFloat32, kTfLiteInt8,  kTfLiteUInt8,
                                kTfLiteInt16,  kTfLiteInt32,   kTfLiteInt64, kTfLiteBool};
    edgekd_slot slot;
    if (!ask(nullptr, static_cast<int>(index), &slot)) return nullptr;
    tensor_ = {types[slot.type], {slot.data}, {slot.scale, slot.zero_point}, slot.bytes};
    return &tensor_;
  }

  bool fits_;
  size_t size_;
  TfLiteTensor tensor_ = {};
};

}  // namespace tflite
#endif
