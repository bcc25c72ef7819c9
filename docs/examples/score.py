"""A program for `classifier.command`: answers the outputs of a Keras model.

    classifier:
      command: [python, score.py, classifier.keras]
      output: probabilities

Replace `load` and `score` by your own. The rest is the protocol: one line a batch.
"""

import os
import sys
from pathlib import Path

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def load(path):
    import keras

    return keras.saving.load_model(path, compile=False)


def score(model, images):
    """Scores (images, units) of float32 (images, rows, columns, channels)."""
    return model.predict(images, verbose=0)


def main():
    model = load(sys.argv[1])
    for line in sys.stdin:
        given, answer = line.rstrip("\n").split("\t")
        scores = score(model, np.load(given))
        np.save(Path(answer).with_suffix(".npy"), np.asarray(scores, np.float32))
        print("done", flush=True)


if __name__ == "__main__":
    main()
