"""The teacher: all-MiniLM-L6-v2 with a head for two classes. Fine-tune it for one epoch, some ten minutes:

    python movie_teacher.py FOLDER_OF_MINILM        (config.json, model.safetensors, tokenizer.json)

Reads movie.tsv and tokenizer.json, writes movie_teacher.safetensors. It never sees movie_test.tsv.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

LENGTH, BATCH, RATE, EPOCHS = 48, 16, 8e-5, 1
CLASSES = ("negative", "positive")
WORDS = "embeddings.word_embeddings.weight"


class Teacher(nn.Module):
    """MiniLM's mean over the words, and a linear head; ids and mask (N, length) -> logits (N, 2), features, states."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
        config = BertConfig(vocab_size=vocabulary, attn_implementation="eager", **sizes)
        self.encoder, self.head = BertModel(config, add_pooling_layer=False), nn.Linear(384, len(CLASSES))

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor | tuple[Tensor, ...]]:
        kept = mask.float()
        # finite numbers instead of a mask of yes and no, which some converters get wrong
        added = ((1 - kept) * -1e4)[:, None, None, :]
        states = self.encoder(input_ids=ids, attention_mask=added, output_hidden_states=True).hidden_states
        features = (states[-1] * kept[..., None]).sum(1) / kept.sum(1, keepdim=True).clamp(min=1)
        return {"logits": self.head(features), "features": features, "hidden_states": states[1:]}


def build(vocabulary: int) -> nn.Module:
    return Teacher(vocabulary)


def pretrained(folder: Path) -> nn.Module:
    """MiniLM's weights; of the words' vectors those of our smaller tokenizer."""
    before, after = (
        json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
        for path in (folder / "tokenizer.json", Path("tokenizer.json"))
    )
    model, state = build(len(after)), load_file(folder / "model.safetensors")
    state[WORDS] = state[WORDS][[before[token] for token in sorted(after, key=after.get)]]
    missing, _ = model.encoder.load_state_dict(state, strict=False)
    assert not [name for name in missing if "position_ids" not in name], missing
    return model


def main(folder: str) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file("tokenizer.json")
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"))
    lines = [line.split("\t", 1) for line in Path("movie.tsv").read_text(encoding="utf-8").splitlines()]
    y = torch.tensor([CLASSES.index(label) for label, _ in lines])
    model = pretrained(Path(folder)).train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-2)
    batches = [rows for _ in range(EPOCHS) for rows in torch.randperm(len(lines)).split(BATCH)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=len(batches), pct_start=0.1)
    total = 0.0
    for number, rows in enumerate(batches, 1):
        found = tokenizer.encode_batch([lines[row][1] for row in rows])
        ids, mask = (torch.tensor([getattr(one, name) for one in found]) for name in ("ids", "attention_mask"))
        loss = F.cross_entropy(model(ids, mask)["logits"], y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
        if number % 50 == 0:
            print(f"{number}/{len(batches)} batches, loss {total / 50:.3f}", flush=True)
            total = 0.0
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, "movie_teacher.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
