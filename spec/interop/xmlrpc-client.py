"""Clients of XAPI that know only XML-RPC, as Debian's Python has it. Prints what they saw as one JSON object."""

import json
import sys
import xmlrpc.client


class Failure(Exception):
    def __init__(self, details):
        super().__init__(str(details))
        self.details = details


class Session:
    """Posts to `/`, passes None as <nil/>, logs in again when its session is gone, up to three times."""

    def __init__(self, url, user, password):
        self.server = xmlrpc.client.ServerProxy(url, allow_none=True)
        self.credentials = (user, password)
        self.ref = None
        self.logins = 0

    def login(self):
        self.logins += 1
        self.ref = self.answer("session.login_with_password", *self.credentials, "1.0", "interop")

    def answer(self, method, *params):
        reply = getattr(self.server, method)(*params)
        if reply["Status"] == "Success":
            return reply["Value"]
        raise Failure(reply["ErrorDescription"])

    def call(self, method, *params):
        for _ in range(3):
            try:
                return self.answer(method, self.ref, *params)
            except Failure as failure:
                if failure.details[0] != "SESSION_INVALID":
                    raise
                self.login()
        raise Failure(["SESSION_INVALID"])


def failure_of(session, method, *params):
    try:
        session.call(method, *params)
    except Failure as failure:
        return failure.details
    return None


def main(url, member_url, user, password):
    seen = {}
    session = Session(url, user, password)
    session.login()
    names = session.server.system.listMethods()
    classes = [name[: -len(".get_all_records")] for name in names if name.endswith(".get_all_records")]
    counts, removed, spelt_otherwise = {}, [], 0
    for cls in classes:
        try:
            records = session.call(cls + ".get_all_records")
        except Failure as failure:
            if failure.details != ["MESSAGE_REMOVED"]:
                raise
            removed.append(cls)
            continue
        counts[cls] = len(records)
        spelt_otherwise += session.call(cls + "_get_all_records").keys() == records.keys()
    seen.update(methods=len(names), classes=counts, removed=removed, underscore=spelt_otherwise)

    vm = session.call("VM.get_by_name_label", "db-01")[0]
    task = session.call("Async.VM.snapshot", vm, "by Python")
    polls = 0
    while session.call("task.get_status", task) == "pending":
        polls += 1
        session.call("event.from", ["task/" + task], "", 5.0)
    seen["snapshot"] = session.call("task.get_record", task)["result"]
    session.call("task.destroy", task)
    batch = session.call("event.from", ["vm", "task"], "", 1.0)
    seen["events"] = sorted({event["class"] for event in batch["events"]})
    seen["types"] = {
        "int": type(session.call("VM.get_memory_static_max", vm)).__name__,
        "float": type(session.call("VM.get_HVM_shadow_multiplier", vm)).__name__,
        "bool": type(session.call("VM.get_is_a_template", vm)).__name__,
        "date": type(session.call("VM.get_snapshot_time", vm)).__name__,
        "void": session.call("VM.set_name_description", vm, "Orders <&> \u2603"),
        "text": session.call("VM.get_name_description", vm),
        "nil": failure_of(session, "VM.get_record", None),
    }
    session.ref, kept = "OpaqueRef:gone", session.ref
    session.call("pool.get_all")
    seen["logins"] = session.logins
    session.answer("session.logout", kept)
    session.call("session.logout")
    seen["unknown"] = failure_of(session, "VM.nosuch")
    session.call("session.logout")
    try:
        Session(member_url, user, password).login()
    except Failure as failure:
        seen["member"] = failure.details
    print(json.dumps(seen))


main(*sys.argv[1:])
