"""From sequence to sequence: an encoder, a decoder, attention, beam search."""
