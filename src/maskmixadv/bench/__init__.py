"""Tables of runs: methods × folds × seeds, made and rendered by ``maskmixadv bench``."""
