"""How far an answer is to be believed: what the prior decides, and what the data contradict."""
