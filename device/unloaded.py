"""What libraries load on their way and the worker has no use for: kept out of its memory. Imported before them."""

from __future__ import annotations

import sys
import warnings

# requests guesses the encoding of texts that do not tell theirs, and does without it; engines speak UTF-8.
sys.modules.setdefault("charset_normalizer", None)  # type: ignore[arg-type] # None: importing it fails
warnings.filterwarnings("ignore", message="Unable to find acceptable character detection dependency")
