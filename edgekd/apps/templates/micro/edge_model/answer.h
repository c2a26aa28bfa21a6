/* From outputs to answers: classes, calibrated probabilities, and whether the model is sure enough to answer. */
#ifndef EDGEKD_ANSWER_H_
#define EDGEKD_ANSWER_H_

#include "spec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The most probable class and how sure the model is of it; where it is not accepted treat it as "I do not know". */
typedef struct {
  const char *label;
  size_t index;
  float confidence;
  bool accepted;
} edgekd_answer;

/* Answers of a sample's outputs (numbers, EDGEKD_VALUES of them), one a head. Nothing of a model that tells numbers. */
void edgekd_answers(const float *outputs, edgekd_answer *answers);

/* The calibrated probability of a class of a head: softmax(outputs / temperature). */
float edgekd_probability(const edgekd_head *head, const float *outputs, size_t index);

#ifdef __cplusplus
}
#endif
#endif
