"""The installed package: its values against the `gguf` package, its files, its program, its examples.

`python -m unittest discover crates/python/tests`, in an environment that has the wheel and `gguf`. AEOLUS_FIXTURES is
the project's folder `fixtures`.
"""

import ast
import doctest
import inspect
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import gguf
import numpy as np

import aeolus

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = pathlib.Path(os.environ.get("AEOLUS_FIXTURES", ROOT / "fixtures"))
MODEL = FIXTURES / "notus-mini"


def weights(rows: int = 6, cols: int = 512) -> np.ndarray:
    return np.random.default_rng(5).normal(scale=0.04, size=(rows, cols)).astype(np.float32)


class Codec(unittest.TestCase):
    def test_decoded_values_are_those_of_the_gguf_package(self):
        x = weights()
        compared = []
        for ty in aeolus.types():
            importance = np.ones(x.shape[1]) if ty.needs_importance else None
            codes = aeolus.quantize(x, ty.name, importance)
            ours = aeolus.dequantize(codes, ty.name, x.shape)
            self.assertLess(np.abs(ours - x).max(), 0.15, ty.name)
            try:
                theirs = gguf.quants.dequantize(codes, gguf.GGMLQuantizationType[ty.name])
            except (NotImplementedError, KeyError):
                continue
            np.testing.assert_array_equal(ours, theirs, ty.name)
            compared.append(ty.name)
        for name in ["Q4_0", "Q8_0", "Q2_K", "Q4_K", "Q6_K", "IQ2_XXS", "IQ3_S", "IQ4_XS", "IQ1_M"]:
            self.assertIn(name, compared)

    def test_bytes_are_those_of_the_gguf_package_where_it_encodes(self):
        x = weights()
        for name in ["BF16", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]:
            theirs = gguf.quants.quantize(x, gguf.GGMLQuantizationType[name])
            ours = aeolus.quantize(x, name)
            np.testing.assert_array_equal(ours, theirs.view(np.uint8).reshape(ours.shape), name)

    def test_importance_moves_errors_to_where_it_is_low(self):
        x, importance = weights(64), np.full(512, 1e-3)
        importance[::2] = 1
        plain, guided = (
            np.square(aeolus.dequantize(aeolus.quantize(x, "Q2_K", i), "Q2_K", x.shape) - x)
            for i in (None, importance)
        )
        self.assertLess(guided[:, ::2].sum(), plain[:, ::2].sum())
        experts = np.stack([x, x])
        both = aeolus.quantize(experts, "Q2_K", np.stack([importance, importance]))
        np.testing.assert_array_equal(both[1], aeolus.quantize(x, "Q2_K", importance))

    def test_shapes_and_layouts(self):
        x = weights(12).reshape(3, 4, 512)
        codes = aeolus.quantize(x.astype(np.float64), "q6_k")
        self.assertEqual(codes.shape, (3, 4, 420))
        turned = np.asfortranarray(x)
        np.testing.assert_array_equal(aeolus.quantize(turned, "Q6_K"), codes)
        again = aeolus.dequantize(codes.tobytes(), "Q6_K", x.shape)
        again += 1  # Writable.
        for bad, problem in [
            (lambda: aeolus.quantize(np.ones(100), "Q4_K"), "rows of 100 weights"),
            (lambda: aeolus.quantize(np.ones(256), "nope"), "not a type of weights"),
            (lambda: aeolus.quantize(np.full(32, np.nan), "Q8_0"), "NaN"),
            (lambda: aeolus.quantize(np.ones(256), "IQ2_XXS"), "importance"),
            (lambda: aeolus.quantize(np.ones(256), "Q4_K", np.ones(7)), "7"),
            (lambda: aeolus.dequantize(b"abc", "Q8_0", (1, 32)), "3 bytes are not weights"),
            (lambda: aeolus.open(FIXTURES / "nothing.gguf"), "nothing.gguf"),
        ]:
            with self.assertRaises(aeolus.Error) as caught:
                bad()
            self.assertIn(problem, str(caught.exception))


class Files(unittest.TestCase):
    def test_a_model_is_made_and_read(self):
        told = []
        with tempfile.TemporaryDirectory() as out:
            made = aeolus.quantize_model(
                MODEL, out, ["Q4_K_M", "F16"], progress=lambda *event: told.append(event)
            )
            self.assertEqual([pathlib.Path(m.path).name for m in made], ["notus-mini.Q4_K_M.gguf", "notus-mini.F16.gguf"])
            self.assertEqual(told[-1][0], told[-1][1])
            reader = gguf.GGUFReader(made[0].path)
            with aeolus.open(made[0].path) as file:
                self.assertEqual(file.metadata["general.architecture"], "llama")
                tokens = reader.get_field("tokenizer.ggml.tokens").contents()
                self.assertEqual(file.metadata["tokenizer.ggml.tokens"], tokens)
                self.assertEqual(list(file.tensors), [t.name for t in reader.tensors])
                for theirs in reader.tensors:
                    ours = file.tensors[theirs.name]
                    self.assertEqual(ours.shape, tuple(int(n) for n in theirs.shape[::-1]))
                    self.assertFalse(ours.data.flags.owndata)
                    np.testing.assert_array_equal(ours.data.reshape(-1), theirs.data.reshape(-1))
                    values = gguf.quants.dequantize(theirs.data, theirs.tensor_type)
                    np.testing.assert_array_equal(ours.dequantize(), values.reshape(ours.shape))
            with self.assertRaises(aeolus.Error) as caught:
                aeolus.quantize_model(MODEL, out, "F16")
            self.assertIn("exists already", str(caught.exception))

    def test_an_exception_of_the_callback_stops_the_run(self):
        def stop(done, total, name):
            raise RuntimeError("enough")

        with tempfile.TemporaryDirectory() as out:
            with self.assertRaisesRegex(RuntimeError, "enough"):
                aeolus.quantize_model(MODEL, out, "Q8_0", progress=stop)
            self.assertEqual(list(pathlib.Path(out).glob("*.gguf")), [])


class Program(unittest.TestCase):
    def run_it(self, *args):
        # The script that `pip install` puts beside the interpreter.
        script = pathlib.Path(sys.executable).with_name("aeolus-gguf")
        return subprocess.run([script, *args], capture_output=True, text=True)

    def test_the_main_job(self):
        with tempfile.TemporaryDirectory() as out:
            text = FIXTURES / "text/heldout.txt"
            args = ["table", str(MODEL), "-o", out, "--type", "Q4_0", "-f", str(text), "--chunks", "2"]
            done = self.run_it(*args)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("notus-mini.Q4_0.gguf", done.stdout)
            names = {path.name for path in pathlib.Path(out).iterdir()}
            self.assertLessEqual({"README.md", "report.html", "quality.json", "errors.json"}, names)

    def test_the_module_is_the_program_too(self):
        as_module = subprocess.run([sys.executable, "-m", "aeolus", "--version"], capture_output=True, text=True)
        self.assertEqual(as_module.stdout, self.run_it("--version").stdout)

    def test_exit_codes_are_those_of_the_program(self):
        self.assertEqual(self.run_it("--version").returncode, 0)
        self.assertEqual(self.run_it("--version").stdout.split()[1], aeolus.__version__)
        wrong = self.run_it("inspect", "nothing.gguf")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("nothing.gguf", wrong.stderr)


class Stubs(unittest.TestCase):
    def test_stubs_have_the_functions_and_parameters_of_the_extension(self):
        stubs = pathlib.Path(aeolus.__file__).with_name("_native.pyi")
        self.assertTrue(stubs.with_name("py.typed").exists())
        functions = [node for node in ast.parse(stubs.read_text()).body if isinstance(node, ast.FunctionDef)]
        found = {name for name, value in vars(aeolus._native).items() if inspect.isbuiltin(value)}
        self.assertEqual({function.name for function in functions}, found)
        for function in functions:
            expected = [argument.arg for argument in function.args.args]
            signature = inspect.signature(getattr(aeolus._native, function.name))
            self.assertEqual(list(signature.parameters), expected, function.name)

    def test_what_is_exported_is_described(self):
        for name in aeolus.__all__:
            if name != "__version__":
                self.assertTrue(getattr(aeolus, name).__doc__, name)


def load_tests(loader, tests, ignore):
    tests.addTests(doctest.DocTestSuite(aeolus, extraglobs={"numpy": np}, optionflags=doctest.ELLIPSIS))
    page = ROOT / "docs/python.md"
    globs = {"FIXTURES": FIXTURES}
    tests.addTests(doctest.DocFileSuite(str(page), module_relative=False, globs=globs, optionflags=doctest.ELLIPSIS))
    return tests
