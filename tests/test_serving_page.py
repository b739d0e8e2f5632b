"""The page of the service in a real browser; left out where there is none, see conftest.py.

ci/jupyterhub.sh brings one and runs it.
"""
import base64
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import gear_transfer as gt
from served import Served, content


@pytest.fixture
def images(tmp_path):
    return gt.load_folder(gt.make_shapes(str(tmp_path / "shapes"), per_class=10, size=64, random_state=5))


@pytest.fixture
def service(images, tmp_path):
    path = str(tmp_path / "m.gtm")
    gt.TransferClassifier(backbone="inception_v3", layer="mixed1", input_size=64, epochs=12, cache=False,
                          verbose=0).fit(images).save(path)
    served = Served(path)
    yield served
    assert served.end() == (0, "")


@pytest.mark.slow
def test_the_page_in_a_browser(service, images, tmp_path):
    """A person chooses a photograph, drops another, and a file that is none."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--user-data-dir=" + str(tmp_path / "profile")):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options,
                               service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get("http://127.0.0.1:{}/".format(service.port))

        def wait_for(selector, count):
            WebDriverWait(browser, 60).until(
                lambda each: len(each.find_elements(By.CSS_SELECTOR, selector)) == count)
            return browser.find_elements(By.CSS_SELECTOR, selector)

        browser.find_element(By.ID, "file").send_keys(images.paths[0])
        assert wait_for("article h2", 1)[0].text == "circle"
        assert len(wait_for("article meter", 3)) == 3
        browser.execute_script("""
            const bytes = Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "dropped.jpg", {type: "image/jpeg"}));
            document.getElementById("drop").dispatchEvent(
                new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));
            """, base64.b64encode(content(images.paths[-1])).decode())
        assert wait_for("article h2", 2)[0].text == "triangle"
        text = tmp_path / "text.jpg"
        text.write_text("I am text")
        browser.find_element(By.ID, "file").send_keys(str(text))
        assert "JPEG" in wait_for("article p.error", 1)[0].text
        assert "circle, square, triangle" in browser.find_element(By.ID, "labels").text
        assert len(browser.find_elements(By.CSS_SELECTOR, "article img")) == 3
        said = [entry["message"] for entry in browser.get_log("browser")]
        # A refusal's status is all that may be said; the icon that browsers ask for is not there.
        assert all("422" in each or "favicon" in each or "blob:" in each for each in said), said
    finally:
        browser.quit()
