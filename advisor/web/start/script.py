"""What `advisor app` gives to streamlit."""

from advisor.web import main

main()
