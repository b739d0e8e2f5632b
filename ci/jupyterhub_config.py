"""A JupyterHub for one test on the loopback address: anybody may log in, nothing is secured.

Read by JupyterHub; the places come from environment variables that jupyterhub_session.py sets.
"""
import os

c = get_config()  # noqa: F821, JupyterHub defines it

folder = os.environ["HUB_FOLDER"]
port, hub_port, proxy_port = os.environ["HUB_PORTS"].split()

c.JupyterHub.bind_url = "http://127.0.0.1:{}".format(port)
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{}".format(hub_port)
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{}".format(proxy_port)
c.ConfigurableHTTPProxy.pid_file = os.path.join(folder, "proxy.pid")
c.JupyterHub.db_url = "sqlite:///" + os.path.join(folder, "hub.sqlite")
c.JupyterHub.cookie_secret_file = os.path.join(folder, "cookie_secret")

c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["HUB_PASSWORD"]
c.Authenticator.allow_all = True

# No account of the system belongs to the person: the server runs as whoever runs the hub.
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.join(folder, "home", "{username}")
c.Spawner.default_url = "/lab"
c.Spawner.args = ["--allow-root"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 90
c.Spawner.environment = dict((name, os.environ[name]) for name in ("GEAR_IMAGES", "NEW_IMAGES"))
