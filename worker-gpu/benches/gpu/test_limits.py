"""The limits for Qwen3-14B at context 1024, computed by hand."""

import unittest

import limits


class Limits(unittest.TestCase):
    def test_the_14b_has_its_sizes(self):
        model = limits.MODELS["qwen3-14b"]
        self.assertEqual(model.kv_bytes, 163_840)
        self.assertAlmostEqual(model.multiplied / 1e9, 13.99, places=2)
        self.assertAlmostEqual(model.bytes(False) / 1e9, 27.98, places=2)
        self.assertAlmostEqual(model.bytes(True) / 1e9, 8.57, places=2)

    def test_limits_at_1024_tokens(self):
        model = limits.MODELS["qwen3-14b"]
        for gpu, sequences, int4, expected in [
            ("H200", 1, False, 153),
            ("H200", 64, False, 7_108),
            ("H200", 256, False, 13_435),
            ("H200", 1, True, 492),
            ("A100", 16, False, 939),
            ("A100", 64, True, 4_928),
        ]:
            self.assertAlmostEqual(limits.limit(model, gpu, sequences, 1024, int4) / expected, 1, delta=0.01)


if __name__ == "__main__":
    unittest.main()
