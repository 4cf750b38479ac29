"""No code of this project executes its input."""

import ast

import pytest

from testing.project import ROOT

CODE = [p for f in ("pipeline", "models", "app", "stages", "experiments") for p in (ROOT / f).rglob("*.py")]


def _calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}, node


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_executes_its_input(path):
    """No module uses pickle, YAML objects, eval or a shell."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = {a.name.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imports |= {str(n.module).partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not imports & {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
    for name, keywords, node in _calls(tree):
        assert name not in ("eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load"), (
            name
        )
        assert keywords.get("shell") in (None, "False") and keywords.get("allow_pickle") in (None, "False"), (
            name
        )
        if name == "torch.load":
            assert keywords.get("weights_only") == "True"
        if name == "yaml.load":
            loader = keywords.get("Loader") or ast.unparse(node.args[1])
            assert loader in ("ParamsLoader", "yaml.CSafeLoader", "yaml.SafeLoader")
