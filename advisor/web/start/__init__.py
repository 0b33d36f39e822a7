"""What `streamlit run` starts; in a folder of its own, because Streamlit takes a folder `pages` beside it."""
