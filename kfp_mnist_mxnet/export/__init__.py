"""Export to ONNX, with a check that the exported model predicts the same, and registration.

Used from outside: translate (translation.py), check_parity (verification.py), Card (card.py),
write_model (layout.py), register_model (registration.py).
"""
