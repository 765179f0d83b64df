// Formulas are marked by pymdownx.arithmatex; MathJax 3.2.2 (Apache License 2.0) is served with the site.
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
  options: { ignoreHtmlClass: ".*", processHtmlClass: "arithmatex" },
};
document$.subscribe(() => {
  if (MathJax.typesetPromise) MathJax.typesetPromise();
});
