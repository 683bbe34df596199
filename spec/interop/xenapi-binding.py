"""The Python binding of XAPI, as Debian has it in python3-os-xenapi. Prints what it saw as one JSON object."""

import importlib.util
import json
import sys


def load(path):
    spec = importlib.util.spec_from_file_location("XenAPI", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(path, url, member_url, user, password):
    XenAPI = load(path)
    seen = {}
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(user, password, "1.0", "interop")
    seen["version"] = session.API_version
    vm = session.xenapi.VM.get_by_name_label("db-01")[0]
    record = session.xenapi.VM.get_record(vm)
    seen["fields"] = len(record)
    task = session.xenapi.Async.VM.snapshot(vm, "by the binding")
    while session.xenapi.task.get_status(task) == "pending":
        session.xenapi.event_from(["task/" + task], "", 5.0)
    seen["snapshot"] = session.xenapi.task.get_result(task)
    session.xenapi.task.destroy(task)
    try:
        session.xenapi.VM.get_record("OpaqueRef:gone")
    except XenAPI.Failure as failure:
        seen["failure"] = failure.details
    session.xenapi.session.logout()
    try:
        other = XenAPI.Session(member_url)
        other.xenapi.login_with_password(user, password)
    except XenAPI.Failure as failure:
        seen["member"] = failure.details
    print(json.dumps(seen))


main(*sys.argv[1:])
