"""Film reviews in one sentence, and a tokenizer of the words that they need.

    python movie_data.py movieReviewSnippets_GroundTruth.txt tokenizer.json [COUNT]

The first file is in the source package of vaderSentiment 0.5 (hutto_ICWSM_2014.tar.gz), the second is the teacher's, of
all-MiniLM-L6-v2. Writes movie.tsv, movie_test.tsv and tokenizer.json here, the last without the words that the training
texts lack, as in Abdaoui et al., "Load what you need", https://arxiv.org/abs/2010.05609: a third of a small
student's file, or more, is the vectors of its words. COUNT keeps so many texts; one in five is for the test.
"""

import json
import random
import string
import sys
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer

TEST, OFTEN, NEUTRAL = 5, 2, 0.5


def main(reviews: str, tokenizer: str, count: str = "1000000") -> None:
    samples = []
    for line in Path(reviews).read_text(encoding="utf-8", errors="replace").splitlines():
        cells = line.split("\t")
        if len(cells) >= 3 and abs(float(cells[1])) > NEUTRAL:
            samples.append(("positive" if float(cells[1]) > 0 else "negative", " ".join(cells[2].split())))
    samples = sorted(set(samples))
    random.Random(0).shuffle(samples)
    samples = samples[: int(count)]
    test = len(samples) // TEST
    for name, part in (("movie.tsv", samples[test:]), ("movie_test.tsv", samples[:test])):
        Path(name).write_text("".join(f"{label}\t{text}\n" for label, text in part), encoding="utf-8")
        print(f"{name}: {len(part)} texts")
    smaller(Path(tokenizer), [text for _, text in samples[test:]])


def smaller(tokenizer: Path, texts: list[str]) -> None:
    """Keep the special tokens, letters and signs, and the pieces that stand in the texts at least twice."""
    page = json.loads(tokenizer.read_text(encoding="utf-8"))
    whole = Tokenizer.from_str(json.dumps(page | {"padding": None, "truncation": None}))
    counts = Counter(token for one in whole.encode_batch(texts) for token in one.tokens)
    plain = {prefix + sign for prefix in ("", "##") for sign in string.ascii_lowercase + string.digits}
    plain |= set(string.punctuation) | {token["content"] for token in page["added_tokens"]}
    old = page["model"]["vocab"]
    kept = [token for token in sorted(old, key=old.get) if counts[token] >= OFTEN or token in plain]
    new = {token: i for i, token in enumerate(kept)}
    page["model"]["vocab"] = new
    page["added_tokens"] = [token | {"id": new[token["content"]]} for token in page["added_tokens"]]
    for name, special in page["post_processor"]["special_tokens"].items():
        special["ids"] = [new[name]]
    page |= {"padding": None, "truncation": None}
    Path("tokenizer.json").write_text(json.dumps(page, ensure_ascii=False), encoding="utf-8")
    print(f"tokenizer.json: {len(new)} of {len(old)} ids")


if __name__ == "__main__":
    main(*sys.argv[1:])
