"""Write the repository's address where it is needed (_config.yml, chapters' first cells, README's badges), and lists of modules.

python .ci/sync.py [owner/name | https://...]     without one: `git remote get-url origin`, else what _config.yml holds
python .ci/sync.py --check                        say what is out of date, change nothing
"""

import re
import subprocess
import sys

import nbformat
from chapters import ROOT, branch, notebooks, repository_url, setup_cell
from modules import documented

BADGES = re.compile(r"<!-- badges -->.*?<!-- /badges -->", re.DOTALL)


def address_of(text: str) -> str:
    """The https address of a repository given as owner/name, git@host:owner/name.git or https://...; else nothing."""
    text = text.strip().removesuffix("/").removesuffix(".git")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return f"https://github.com/{text}"
    ssh = re.fullmatch(r"(?:ssh://)?git@([\w.-]+)[:/]([\w.-]+/[\w.-]+)", text)
    if ssh:
        return f"https://{ssh[1]}/{ssh[2]}"
    return text if re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+", text) else ""


def from_remote() -> str:
    """The address of git's remote "origin", if it is a public kind of address and not a folder."""
    done = subprocess.run(["git", "remote", "get-url", "origin"], cwd=ROOT, capture_output=True, text=True)
    text = done.stdout.strip()
    return address_of(text) if done.returncode == 0 and ("://" in text or "@" in text) else ""


def colab(url: str, path: str) -> str:
    """Where Colab opens a file of the repository."""
    return f"https://colab.research.google.com/github/{url.removeprefix('https://github.com/')}/blob/{branch()}/{path}"


def badges(url: str) -> str:
    """README's badges: the web book, the tests, and each chapter on Colab; nothing without an address."""
    if not url.startswith("https://github.com/"):
        return "<!-- badges --><!-- /badges -->"
    owner, name = url.removeprefix("https://github.com/").split("/")
    lines = [
        "<!-- badges -->",
        f"[![Tests]({url}/actions/workflows/test.yml/badge.svg)]({url}/actions/workflows/test.yml)",
        f"[![Read the book](https://img.shields.io/badge/read-the%20book-1f6feb)](https://{owner.lower()}.github.io/{name}/)",
        "",
        "On Colab: " + " · ".join(f"[{path.stem}]({colab(url, f'book/{path.name}')})" for path in notebooks()),
        "<!-- /badges -->",
    ]
    return "\n".join(lines)


def wanted(url: str) -> dict:
    """The files that hold the address or a list of modules, and what each should say."""
    config = (ROOT / "_config.yml").read_text()
    files = {ROOT / "_config.yml": re.sub(r"(?m)^(repository:\n  url: ).*$", rf'\g<1>"{url}"', config), **documented()}
    readme = ROOT / "README.md"
    files[readme] = BADGES.sub(lambda _: badges(url), files[readme])
    for path in notebooks():
        if path.exists():
            files[path] = with_setup(path, url)
    return files


def with_setup(path, url: str) -> str:
    """A notebook's text with its setup cell as it should be."""
    notebook = nbformat.read(path, as_version=4)
    first = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if first is None or "setup" not in first.metadata.get("tags", []):
        raise SystemExit(f"{path.name}: its first code cell must be tagged 'setup'")
    first.source = setup_cell(path.stem, f"{url}@{branch()}" if url else "")
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    check = "--check" in sys.argv[1:]
    url = address_of(arguments[0]) if arguments else ("" if check else from_remote()) or repository_url()
    if arguments and not url:
        raise SystemExit(f"not a repository's address: {arguments[0]!r}; give owner/name or https://host/owner/name")
    stale = [path for path, text in wanted(url).items() if path.read_text() != text]
    for path in stale:
        print(f"{'out of date' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(wanted(url)[path])
    if check and stale:
        print("run `make sync`")
    elif not stale:
        print(
            f"all in step with the address {url!r}"
            if url
            else "all in step; no address is set: make sync REPO=owner/name"
        )
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
