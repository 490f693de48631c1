import tomllib

import pytest

from plackett.errors import SettingError
from plackett.serving.settings import EMBEDDED, KNOWN, OPTIONS, Settings, resolve


def test_a_flag_overrides_a_variable_which_overrides_the_file(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nhost = "a"\nmax_documents = 5\n')
    settings = resolve({"port": 3, "host": None}, {"PLACKETT_PORT": "2", "PLACKETT_HOST": "b"}, file)
    assert (settings.port, settings.host, settings.max_documents) == (3, "b", 5)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_setting_can_be_a_variable(name, tmp_path):
    kind = OPTIONS[name].metadata["kind"]
    text, value = {
        str: ("x", "x"),
        tuple: ("a=b, c", ("a=b", "c")),
        int: ("4096", 4096),
        float: ("0.25", 0.25),
        bool: ("false", False),
    }[kind]
    if name == "api_key_file":
        (tmp_path / "key").write_text("sesame")
        text = value = str(tmp_path / "key")
    if name == "cors_origins":
        text, value = "http://a, http://b:8080", ("http://a", "http://b:8080")
    if name in KNOWN:
        text = value = KNOWN[name][-1]
    assert getattr(resolve({}, {f"PLACKETT_{name.upper()}": text}), name) == value


def test_a_setting_that_may_be_repeated_has_two_variables():
    assert resolve({}, {"PLACKETT_MODEL": "a=b", "PLACKETT_CORS_ORIGIN": "http://x"}) == Settings(
        models=("a=b",), cors_origins=("http://x",)
    )
    assert resolve({}, {"PLACKETT_MODEL": "a=b", "PLACKETT_MODELS": "c=d,e=f"}).models == ("c=d", "e=f")


def test_what_is_printed_is_a_file_with_the_same_settings(tmp_path):
    settings = resolve({"models": ("a=b",), "port": 9, "access_log": False}, {})
    (tmp_path / "again.toml").write_text(settings.render(), encoding="utf-8-sig")
    assert resolve({}, {}, tmp_path / "again.toml") == settings


def test_the_key_is_not_printed(tmp_path):
    (tmp_path / "key").write_text("from a file\n")
    assert tomllib.loads(Settings(api_key="sesame").render())["api_key"] == "***"
    assert Settings(api_key_file=str(tmp_path / "key")).key == "from a file"


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"PLACKETT_PORT": "http"}, "port"),
        ({"PLACKETT_PORT": "-1"}, "port"),
        ({"PLACKETT_PORT": "70000"}, "port"),
        ({"PLACKETT_BODY_TIMEOUT": "nan"}, "body_timeout"),
        ({"PLACKETT_ACCESS_LOG": "perhaps"}, "access_log"),
        ({"PLACKETT_LOW_PRIORITY_SHARE": "2"}, "low_priority_share"),
        ({"PLACKETT_API_KEY": "ключ"}, "key"),
        ({"PLACKETT_API_KEY": ""}, "key"),
        ({"PLACKETT_API_KEY": "a", "PLACKETT_API_KEY_FILE": "b"}, "api_key_file"),
        ({"PLACKETT_CORS_ORIGIN": "example.com"}, "example.com"),
        ({"PLACKETT_CORS_ORIGIN": "https://example.com/"}, "example.com"),
        ({"PLACKETT_BATCH_TOKENS": "9" * 30}, "batch_tokens"),
        ({"PLACKETT_BODY_TIMEOUT": "1e300"}, "body_timeout"),
        ({"PLACKETT_MODELS": "a=x,a=y"}, "same name"),
        ({"PLACKETT_MODELS": "a=/no/such/folder"}, "/no/such/folder"),
        ({"PLACKETT_ENGINE": "onyx"}, "onnx"),
        ({"PLACKETT_PRECISION": "fp16"}, "precision"),
        ({"PLACKETT_ACTIVATION": "softmax"}, "activation"),
    ],
)
def test_settings_that_do_not_fit_are_named(environment, word):
    with pytest.raises(SettingError, match=word):
        resolve({}, environment)


def test_a_file_with_an_unknown_name_is_refused(tmp_path):
    (tmp_path / "x.toml").write_text("prot = 1")
    with pytest.raises(SettingError, match="port"):
        resolve({}, {}, tmp_path / "x.toml")


def test_a_number_that_no_float_holds_is_refused(tmp_path):
    (tmp_path / "x.toml").write_text("body_timeout = 1" + "0" * 400)
    with pytest.raises(SettingError, match="body_timeout"):
        resolve({}, {}, tmp_path / "x.toml")


@pytest.mark.parametrize("origin", ["*", "https://example.com", "http://[::1]:8080", "chrome-extension://abc"])
def test_origins(origin):
    assert resolve({"cors_origins": (origin,)}, {}).cors_origins == (origin,)


def test_models_have_names():
    assert Settings().checkpoints == {EMBEDDED: None}
    assert Settings(models=("a=x/y=z", "folder/b", "c")).checkpoints == {"a": "x/y=z", "b": "folder/b", "c": "c"}


def test_check_prints_the_settings(run, monkeypatch):
    monkeypatch.setenv("PLACKETT_PORT", "123")
    code, output, _ = run("serve", "--check", "--model", "mine=somewhere", "--no-access-log")
    shown = tomllib.loads(output)
    assert code == 0
    assert (shown["port"], shown["models"], shown["access_log"]) == (123, ["mine=somewhere"], False)


def test_check_refuses_what_does_not_fit(run):
    code, output, error = run("serve", "--check", "--max-nesting", "0")
    assert (code, output) == (2, "")
    assert "max_nesting" in error
