"""What `streamlit run` starts, in a folder of its own: Streamlit takes a folder `pages` beside it as its own."""
