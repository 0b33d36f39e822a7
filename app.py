"""The web app: `streamlit run app.py`. Everything is in advisor/web."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from advisor.web import main

main()
