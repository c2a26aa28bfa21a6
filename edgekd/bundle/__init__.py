"""From an artifact that ships to a folder that stands alone: model, signature, sample program, card and proof."""
