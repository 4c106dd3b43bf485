"""Print the built book: python .ci/pdf.py writes _build/structured-state-space-rl.pdf from _build/html, with Chromium."""

import sys

from chapters import ROOT, toc_files
from chromium import chromium
from pypdf import PdfWriter

HTML, TARGET = ROOT / "_build/html", ROOT / "_build/structured-state-space-rl.pdf"
FOOT = """<div style="font-size:8px;width:100%;text-align:center">
  <span class="pageNumber"></span> / <span class="totalPages"></span></div>"""
READY = "() => (window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 1) : 1)"


def main() -> int:
    pages = [HTML / f"{file}.html" for file in toc_files()]
    if missing := [page.name for page in pages if not page.exists()]:
        print(f"not built yet: {', '.join(missing)}. Run `make book`.")
        return 1
    book = PdfWriter()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 900, "height": 1200}, color_scheme="light")
        for path in pages:
            page.goto(path.as_uri(), wait_until="load")
            page.evaluate(READY)
            part = path.with_suffix(".pdf")
            margin = {"top": "16mm", "bottom": "16mm", "left": "16mm", "right": "16mm"}
            page.pdf(path=part, format="A4", scale=0.75, margin=margin, print_background=True, display_header_footer=True,
                     header_template="<span></span>", footer_template=FOOT)  # fmt: skip
            book.append(part, outline_item=page.locator("h1").first.inner_text().rstrip("#").strip())
            part.unlink()
            print(f"  {path.stem}", flush=True)
    book.add_metadata({"/Title": "Structured State Space RL"})
    book.write(TARGET)
    print(f"{TARGET}: {len(book.pages)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
