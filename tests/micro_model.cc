// What an application's own program does with edgekd::Model, on the board of tests/micro_board.c.
#include <cstdio>

#include "golden.h"
#include "model.h"
#ifdef FRAMES
#include "prepare.h"
#endif

extern "C" bool test_board(const edgekd_engine *engine, const char *why);

int main() {
  static edgekd::Model model;
  if (model.engine() != nullptr || !model.load() || !model.load()) {
    std::printf("%s\n", model.error());
    return 1;
  }
  edgekd_answer answers[EDGEKD_ANSWERS + 1];
#ifdef FRAMES
  for (const edgekd_picture &picture : edgekd_pictures) {
    if (!model.classify(picture.frame, answers)) return 2;
    std::fprintf(stderr, "%s %s %.6f %d\n", picture.name, answers[0].label, static_cast<double>(answers[0].confidence),
                 answers[0].accepted);
  }
#else
  const float *inputs[EDGEKD_INPUTS] = {};
  (void)inputs;
  (void)answers;
#endif
  return test_board(model.engine(), model.error()) ? 0 : 3;
}
