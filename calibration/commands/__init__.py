"""The commands of `calibrate`, one file a group. They read options, call and print; no logic here."""
