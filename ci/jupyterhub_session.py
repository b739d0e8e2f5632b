"""One person's session at a JupyterHub: log in, open the notebooks, run all, look.

    python jupyterhub_session.py NOTEBOOKS FOLDER

Starts a JupyterHub on the loopback address and a headless Chromium, runs the first notebook in
JupyterLab and the second in the classic Notebook as a person would, through the menus, and checks
what is on the screen and what was saved. Screenshots, logs and the executed notebooks are left in
FOLDER. Every process ends with this one.
"""
import base64
import contextlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import psutil
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

HERE = os.path.dirname(os.path.abspath(__file__))
NOTEBOOK = "04-Transfer-Learning.ipynb"
LOOK_INSIDE = "05-Look-Inside.ipynb"
USER = "ada"

WHOLE = 480  # seconds for everything
STARTING = 60  # for the hub, and for each page
RUNNING = 300  # for the cells of a notebook

WINDOW = (1400, 1000)
TALLEST = 9000  # pixels in which the whole notebook has room
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars"]

#: The prompts of all code cells: [ ] before, [*] in the queue, [3] once run.
PROMPTS = ("return Array.from(document.querySelectorAll('.jp-Notebook .jp-CodeCell'), cell => "
           "cell.querySelector('.jp-InputPrompt').textContent.replace(/[^0-9*]/g, ''))")


#: The same in the classic Notebook.
CLASSIC_PROMPTS = ("return Array.from(document.querySelectorAll('#notebook .code_cell'), cell => "
                   "cell.querySelector('.input_prompt').textContent.replace(/[^0-9*]/g, ''))")

#: The sizes of all pictures below cells of the classic Notebook, 0 where one is not shown.
CLASSIC_PICTURES = ("return Array.from(document.querySelectorAll('#notebook .output img'), image => "
                    "image.complete && image.offsetWidth ? image.naturalWidth : 0)")


class Failure(Exception):
    """What was looked for is not there."""


def require(condition, what):
    """Fail with a sentence unless the condition holds."""
    if not condition:
        raise Failure(what)


# Processes

def free_ports(count):
    """Ports on the loopback address that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_for_end(processes, seconds):
    """Wait until the processes have ended; psutil's own waiting trips over some kernels' errors."""
    def is_running(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            return process.status() != psutil.STATUS_ZOMBIE
        return False

    deadline = time.monotonic() + seconds
    while any(is_running(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.1)


def end_processes(patience=15):
    """End all processes that descend from this one, gently at first."""
    descendants = psutil.Process().children(recursive=True)
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    wait_for_end(descendants, patience)
    # A server that its starter has left behind is no descendant any more, but still in the list.
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for_end(descendants, 5)


def start_hub(folder):
    """Start JupyterHub; its address and password once it answers."""
    ports = free_ports(3)
    password = secrets.token_hex(8)
    settings = dict(os.environ, HUB_FOLDER=folder, HUB_PASSWORD=password,
                    HUB_PORTS=" ".join(str(port) for port in ports))
    with open(os.path.join(folder, "hub.log"), "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", os.path.join(HERE, "jupyterhub_config.py")],
            cwd=folder, env=settings, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT)
    address = "http://127.0.0.1:{}".format(ports[0])
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        require(process.poll() is None, "JupyterHub ended with code {}".format(process.returncode))
        try:
            with direct.open(address + "/hub/health", timeout=5):
                return address, password
        except (OSError, urllib.error.URLError):
            time.sleep(0.3)
    raise Failure("JupyterHub did not answer within {} s".format(STARTING))


def start_browser(folder):
    """A headless Chromium with a new profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in CHROMIUM_FLAGS + ["--user-data-dir=" + os.path.join(folder, "profile"),
                                  "--window-size={},{}".format(*WINDOW)]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"),
                                      log_output=os.path.join(folder, "chromedriver.log"))
    browser = webdriver.Chrome(options=options, service=service)
    browser.set_page_load_timeout(STARTING)
    browser.set_script_timeout(STARTING)
    return browser


# What a person does

def wait_until(browser, what, condition, seconds=STARTING):
    """Wait until condition(browser) is true; its value."""
    wait = WebDriverWait(browser, seconds, poll_frequency=0.3,
                         ignored_exceptions=[WebDriverException])
    try:
        return wait.until(condition)
    except WebDriverException as error:
        raise Failure("{}: not within {} s".format(what, seconds)) from error


def first(browser, selector):
    """The first element on the page that can be seen, None where there is none."""
    for element in browser.find_elements(By.CSS_SELECTOR, selector):
        if element.is_displayed():
            return element
    return None


def log_in(browser, address, password):
    """Log in; the hub starts the person's server and shows JupyterLab."""
    browser.get(address)
    wait_until(browser, "the login page", lambda b: first(b, "#username_input")).send_keys(USER)
    first(browser, "#password_input").send_keys(password)
    first(browser, "#login_submit").click()
    wait_until(browser, "JupyterLab", lambda b: first(b, ".jp-DirListing-item"), 2 * STARTING)


def open_notebook(browser):
    """Open the notebook from JupyterLab's list of files."""
    def double_click(browser):
        for item in browser.find_elements(By.CSS_SELECTOR, ".jp-DirListing-item"):
            if NOTEBOOK in (item.get_attribute("title") or ""):
                ActionChains(browser).double_click(item).perform()
                return True
        return False

    wait_until(browser, NOTEBOOK + " in the list of files", double_click)
    wait_until(browser, "the open notebook", lambda b: first(b, ".jp-Notebook .jp-CodeCell"))
    wait_until(browser, "a kernel", lambda b: "Python" in first(
        b, ".jp-Toolbar-kernelName").text)
    wait_until(browser, "a kernel at rest", lambda b: first(
        b, ".jp-Notebook-ExecutionIndicator[data-status='idle']"))


def choose(browser, menu, command):
    """Choose a command from the menu bar."""
    def click_menu(browser):
        for item in browser.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item"):
            if item.text == menu:
                item.click()
                return True
        return False

    wait_until(browser, "the menu " + menu, click_menu)
    wait_until(browser, "the command " + command, lambda b: first(
        b, ".lm-Menu-item[data-command='{}']".format(command))).click()


def count_code_cells(path):
    """Code cells of a notebook's file."""
    with open(path, encoding="utf-8") as stream:
        return sum(cell["cell_type"] == "code" for cell in json.load(stream)["cells"])


def wait_for_cells(browser, prompts, total):
    """Wait until the page, which is built cell by cell, has all of them."""
    wait_until(browser, "{} cells on the page".format(total),
               lambda b: len(b.execute_script(prompts)) == total)


def run_all(browser, path):
    """Run all cells of the notebook in that file and wait for the last."""
    total = count_code_cells(path)
    wait_for_cells(browser, PROMPTS, total)
    choose(browser, "Run", "runmenu:run-all")

    def finished(browser):
        require(first(browser, ".jp-Dialog") is None, "JupyterLab asks a question: {}".format(
            getattr(first(browser, ".jp-Dialog"), "text", "")))
        prompts = browser.execute_script(PROMPTS)
        failed = browser.find_elements(
            By.CSS_SELECTOR, "[data-mime-type='application/vnd.jupyter.error']")
        require(not failed, "a cell failed: {}".format(failed[0].text if failed else ""))
        return len(prompts) == total and all(prompt.isdigit() for prompt in prompts)

    wait_until(browser, "the end of all {} cells".format(total), finished, RUNNING)
    return total


def save(browser, path):
    """Save the notebook in JupyterLab; what is in the file then."""
    before = os.stat(path).st_mtime_ns
    choose(browser, "File", "docmanager:save")
    wait_until(browser, "the saved notebook", lambda _: os.stat(path).st_mtime_ns != before)
    wait_until(browser, "a title without the mark of changes", lambda b: not b.find_elements(
        By.CSS_SELECTOR, ".lm-TabBar-tab.jp-mod-current.jp-mod-dirty"))
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def open_classic(browser, address):
    """Open the second notebook in the classic Notebook."""
    browser.get("{}/user/{}/notebooks/{}".format(address, USER, LOOK_INSIDE))
    wait_until(browser, "the classic Notebook", lambda b: first(b, "#notebook .code_cell"))
    wait_until(browser, "a kernel at rest", lambda b: first(b, ".kernel_idle_icon"))


def run_all_classic(browser, path):
    """The same in the classic Notebook."""
    total = count_code_cells(path)
    wait_for_cells(browser, CLASSIC_PROMPTS, total)
    first(browser, "#celllink").click()
    wait_until(browser, "the command Run All", lambda b: first(b, "#run_all_cells")).click()

    def finished(browser):
        failed = browser.find_elements(By.CSS_SELECTOR, "#notebook .output_error")
        require(not failed, "a cell failed: {}".format(failed[0].text if failed else ""))
        prompts = browser.execute_script(CLASSIC_PROMPTS)
        return len(prompts) == total and all(prompt.isdigit() for prompt in prompts)

    wait_until(browser, "the end of all {} cells".format(total), finished, RUNNING)
    return total


def save_classic(browser, path):
    """Save in the classic Notebook; what is in the file then."""
    before = os.stat(path).st_mtime_ns
    first(browser, "#save-notbook button").click()
    wait_until(browser, "the saved notebook", lambda _: os.stat(path).st_mtime_ns != before)
    wait_until(browser, "a title without the mark of changes", lambda b: "unsaved" not in
               b.find_element(By.CSS_SELECTOR, ".autosave_status").get_attribute("textContent"))
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


# What is to be seen

def cell_with(notebook, text):
    """Place among the code cells, and outputs, of the code cell that holds the text."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = [i for i, cell in enumerate(cells) if text in "".join(cell["source"])]
    require(len(found) == 1, "{} cells with {!r} in the saved notebook".format(len(found), text))
    return found[0], cells[found[0]]["outputs"]


def pixels_of(picture):
    """The pixels of a PNG, given its bytes or its path, uint8 (h, w, 4)."""
    return np.asarray(Image.open(
        io.BytesIO(picture) if isinstance(picture, bytes) else picture).convert("RGBA"))


def expected_grid(home):
    """Draw the grid again with the classifier that the notebook saved.

    Returns the titles, the classes the classifier knows, and the file of the drawing.
    """
    os.chdir(home)
    # Not what another build may have left in the cache of whoever runs this.
    os.environ["XDG_CACHE_HOME"] = os.path.join(home, "cache_of_the_check")
    import matplotlib
    matplotlib.use("Agg")
    import gear_transfer as gt

    model = gt.load_model("gear_classifier.gtm")
    new_folder = os.environ["NEW_IMAGES"]
    if new_folder:
        paths = list(gt.load_images(new_folder))[:5]
    else:
        images = gt.load_folder(os.environ["GEAR_IMAGES"] or "shapes")
        paths = [images.paths[i] for i in np.linspace(0, len(images) - 1, 5).astype(int)]
    probabilities = model.predict_proba(paths)
    axes = gt.plot_predictions(paths, model.classes_from(probabilities), probabilities)
    axes[0].figure.savefig("expected.png", bbox_inches="tight", dpi=100)
    if not os.environ["GEAR_IMAGES"]:
        shapes = [os.path.basename(os.path.dirname(path)) for path in paths]
        require(model.classes_from(probabilities).tolist() == shapes, "a shape is taken for another")
    return [tile.get_title() for tile in axes], model.classes_.tolist(), "expected.png"


def check_grid(browser, notebook, home):
    """The grid's titles: as printed, as drawn, and as the classifier has them."""
    place, outputs = cell_with(notebook, "predictions.png")
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get(
        "data", {})]
    require(len(pictures) == 1, "{} pictures below the grid's cell".format(len(pictures)))
    printed = "".join("".join(output.get("text", [])) for output in outputs).strip()

    cell = browser.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")[place]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    shown = cell.find_element(By.CSS_SELECTOR, ".jp-OutputArea img")
    wait_until(browser, "the grid on the screen", lambda b: shown.is_displayed() and b.execute_script(
        "return arguments[0].complete && arguments[0].naturalWidth > 500", shown))
    inline = base64.b64decode(pictures[0])
    source = shown.get_attribute("src").partition("base64,")[2]
    require(base64.b64decode(source) == inline, "the grid shown is not the grid saved")
    require(printed in cell.text, "the printed predictions are not on the screen")

    titles, classes, drawing = expected_grid(home)
    names = [title.partition("\n")[0] for title in titles]
    require(printed == str(names), "printed {}, the classifier says {}".format(printed, names))
    require(len(names) == 5 and set(names) <= set(classes), "titles {}".format(names))
    expected = pixels_of(drawing)
    for place, picture in (("on the page", inline), ("in predictions.png", "predictions.png")):
        require(np.array_equal(pixels_of(picture), expected),
                "the grid {} is not the one with the titles {}".format(place, titles))
    return titles


def check_outputs(notebook, total):
    """Every cell ran, in order, and none wrote to stderr."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    require([cell["execution_count"] for cell in cells] == list(range(1, total + 1)),
            "the cells did not run once each from top to bottom")
    for cell in cells:
        for output in cell["outputs"]:
            require(output["output_type"] != "error" and output.get("name") != "stderr",
                    "a cell complains: {}".format(output))


def check_bars(browser, selector, least):
    """The progress bars are widgets on the screen, and full."""
    bars = wait_until(browser, "the progress bars", lambda b: b.execute_script(
        "return Array.from(document.querySelectorAll(arguments[0]), bar => bar.textContent)",
        selector))
    require(len(bars) >= least and all("100%" in bar for bar in bars),
            "progress bars: {}".format(bars))


def check_classic(browser, notebook):
    """Tables, pictures and the link to the report, on the screen as in the saved notebook."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    saved = sum("image/png" in output.get("data", {}) for output in outputs)
    wait_until(browser, "all pictures", lambda b: 0 not in b.execute_script(CLASSIC_PICTURES))
    widths = browser.execute_script(CLASSIC_PICTURES)
    require(len(widths) == saved >= 9 and min(widths) > 100,
            "{} pictures saved, on the screen those of the widths {}".format(saved, widths))
    tables = browser.find_elements(By.CSS_SELECTOR, "#notebook .output_html table")
    require(len(tables) >= 3 and all(table.is_displayed() for table in tables), "tables are missing")
    require(first(browser, "#notebook .output a[href$='report.html']"), "no link to the report")


def take_classic_picture(browser, folder):
    """A screenshot of the whole notebook in the classic Notebook."""
    height = browser.execute_script(
        "return document.querySelector('#notebook-container').getBoundingClientRect().height")
    browser.set_window_size(WINDOW[0], int(height) + 250)
    time.sleep(1.5)
    browser.save_screenshot(os.path.join(folder, "classic.png"))


def take_pictures(browser, folder):
    """Screenshots: the grid as it is in the window, then the whole notebook in a tall one."""
    browser.save_screenshot(os.path.join(folder, "grid.png"))
    height = WINDOW[1]
    for _ in range(2):  # JupyterLab knows the height of a cell once it has come into view
        browser.set_window_size(WINDOW[0], TALLEST)
        time.sleep(1.5)
        height = browser.execute_script(
            "const cells = Array.from(document.querySelectorAll('.jp-Notebook .jp-Cell'));"
            "cells[0].scrollIntoView();"
            "return cells[cells.length - 1].getBoundingClientRect().bottom")
    browser.set_window_size(WINDOW[0], int(height) + 250)
    time.sleep(1.5)
    browser.save_screenshot(os.path.join(folder, "notebook.png"))


# All of it

def prepare_home(notebooks, folder):
    """The person's home folder with the notebooks, JupyterLab not asking about news."""
    home = os.path.join(folder, "home", USER)
    for old in (os.path.join(folder, "home"), os.path.join(folder, "profile")):
        shutil.rmtree(old, ignore_errors=True)
    for old in ("hub.sqlite", "cookie_secret", "proxy.pid", "failure.png"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, old))
    settings = os.path.join(home, ".jupyter", "lab", "user-settings", "@jupyterlab",
                            "apputils-extension")
    os.makedirs(settings)
    with open(os.path.join(settings, "notification.jupyterlab-settings"), "w") as stream:
        json.dump({"fetchNews": "false", "checkForUpdates": False}, stream)
    for name in (NOTEBOOK, LOOK_INSIDE):
        shutil.copy(os.path.join(notebooks, name), home)
    return home


def look_inside(browser, address, home, folder):
    """The second notebook, in the classic Notebook."""
    browser.set_window_size(*WINDOW)
    open_classic(browser, address)
    total = run_all_classic(browser, os.path.join(home, LOOK_INSIDE))
    notebook = save_classic(browser, os.path.join(home, LOOK_INSIDE))
    check_outputs(notebook, total)
    check_bars(browser, "#notebook .jupyter-widgets.widget-hbox", 1)
    check_classic(browser, notebook)
    require(os.path.getsize(os.path.join(home, "report.html")) > 50000, "the report is too small")
    take_classic_picture(browser, folder)
    print("ran {} cells of {} in the classic Notebook".format(total, LOOK_INSIDE))


def session(notebooks, folder):
    """Everything from the login to the screenshots."""
    home = prepare_home(notebooks, folder)
    address, password = start_hub(folder)
    browser = start_browser(folder)
    try:
        log_in(browser, address, password)
        open_notebook(browser)
        total = run_all(browser, os.path.join(home, NOTEBOOK))
        notebook = save(browser, os.path.join(home, NOTEBOOK))
        check_outputs(notebook, total)
        check_bars(browser, ".jp-Notebook .jupyter-widgets.widget-hbox", 2)
        titles = check_grid(browser, notebook, home)
        take_pictures(browser, folder)
        look_inside(browser, address, home, folder)
    except BaseException:
        with contextlib.suppress(WebDriverException):
            browser.save_screenshot(os.path.join(folder, "failure.png"))
            for entry in browser.get_log("browser")[-20:]:
                print("browser: {}".format(entry["message"]), file=sys.stderr)
        raise
    finally:
        with contextlib.suppress(WebDriverException):
            browser.quit()
    print("ran {} cells of {} in JupyterLab".format(total, NOTEBOOK))
    print("the grid's titles: {}".format(", ".join(title.replace("\n", " ") for title in titles)))
    print("screenshots: {0}/grid.png, {0}/notebook.png, {0}/classic.png".format(folder))


def show_log(path, lines=60):
    """The end of a log on stderr."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        print("--- the end of {}".format(path), file=sys.stderr)
        sys.stderr.writelines(stream.readlines()[-lines:])


def stop(number, frame):
    """Turn a signal into an exception, so that everything is cleaned up."""
    signal.alarm(0)
    raise Failure("stopped by {}{}".format(signal.Signals(number).name, " after {} s".format(
        WHOLE) if number == signal.SIGALRM else ""))


def main():
    """Exit code of the whole session."""
    notebooks, folder = (os.path.abspath(path) for path in sys.argv[1:3])
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    signal.alarm(WHOLE)
    code = 1
    try:
        session(notebooks, folder)
        code = 0
    except (Failure, WebDriverException) as error:
        show_log(os.path.join(folder, "hub.log"))
        print("jupyterhub_session.py: {}".format(error), file=sys.stderr)
        print("see {0}/hub.log, {0}/chromedriver.log and, if the browser had started, "
              "{0}/failure.png".format(folder), file=sys.stderr)
    finally:
        signal.alarm(0)
        end_processes()
    return code


if __name__ == "__main__":
    sys.exit(main())
