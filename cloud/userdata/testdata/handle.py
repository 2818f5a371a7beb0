import sys, json, hashlib, os, tempfile
from cloudinit import user_data, handlers
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.handlers.jinja_template import JinjaTemplatePartHandler
from cloudinit.handlers.shell_script import ShellScriptPartHandler
from cloudinit import util
d = tempfile.mkdtemp()
open(d + "/instance.json", "w").write(json.dumps({"v1": {"local_hostname": "web-1"}}))
class Paths:
    def get_ipath_cur(self, n=None): return d
    def get_cpath(self, n=None): return d
    def get_ipath(self, n=None): return None
    def get_runpath(self, n=None): return d + "/instance.json"
for name in sys.argv[1:]:
    others = []
    class Keep(handlers.Handler):
        prefixes = ["#!", "#cloud-boothook", "#part-handler", "text/x-shellscript-per-boot"]
        def __init__(self): handlers.Handler.__init__(self, "always")
        def handle_part(self, data, ctype, filename, payload, frequency):
            if ctype not in handlers.CONTENT_SIGNALS:
                others.append([ctype, hashlib.sha256(payload if isinstance(payload, bytes) else payload.encode()).hexdigest()])
    config, keep = CloudConfigPartHandler(Paths()), Keep()
    jinja = JinjaTemplatePartHandler(Paths(), sub_handlers=[config, keep])
    table = {}
    for h in (config, keep, jinja):
        for t in h.list_types(): table[t] = h
    msg = user_data.UserDataProcessor(Paths()).process(open(name, "rb").read())
    def callback(data, filename, payload, headers):
        h = table.get(headers["Content-Type"])
        if h: handlers.run_part(h, data, filename, payload, "always", headers)
    buf = {}
    orig = config._write_cloud_config
    config._write_cloud_config = lambda: buf.update({"config": config.cloud_buf})
    handlers.walk(msg, callback, data={})
    config._write_cloud_config()
    def text(o):
        if isinstance(o, bytes):
            try: return o.decode()
            except UnicodeDecodeError: return {"bytes": hashlib.sha256(o).hexdigest()}
        return str(o)
    print(json.dumps({"Config": buf["config"], "Scripts": others}, default=text))
