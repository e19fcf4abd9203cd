(function () {
  "use strict";
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (one) { one.open = true; });
  });

  function copied(button) {
    button.textContent = "Copied";
    setTimeout(function () { button.textContent = "Copy"; }, 1600);
  }
  function select(node) {
    var range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("button.copy");
    if (!button) return;
    var source = button.parentNode.querySelector("pre");
    var fallback = function () {
      select(source);
      if (document.execCommand("copy")) copied(button);
    };
    if (navigator.clipboard) {
      navigator.clipboard.writeText(source.textContent).then(function () { copied(button); }, fallback);
    } else fallback();
  });
})();
