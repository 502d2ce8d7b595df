"""Large bodies go to a candidate only when it can be reached: it is asked before their first byte is taken.

Where a connection is refused, what Envoy keeps of a body is enough to send it again, to the stable. Not where none
comes about for a second, as with a node that has died: by then it has read more than it keeps. So a few lines of Lua,
which run for candidates alone, ask the candidate whether it lives, while the body waits with the client. Where no
connection comes about the request takes a route to what is instead of the candidate, and is nobody's evidence. Calls of
gRPC do not tell their size: they believe an answer of the last second.

Reference: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/lua_filter.
"""

from typing import Any, Final

from modelward.runtimes.runtime import MODELWARD

HEADER: Final = "x-modelward-unreachable"
"""Of a request: the cluster that could not be reached. Clients can't send it, and models don't see it."""

UNREACHABLE: Final[dict[str, Any]] = {"headers": [{"name": HEADER, "present_match": True}]}
"""What the route of requests matches for which a cluster was asked, and could not be reached."""

ASK_MILLISECONDS: Final = 2000
"""Longer than a connection may take. Who connects and does not answer can be reached, and is judged by what he does."""

GRPC_BELIEVES_MILLISECONDS: Final = 1000
"""An answer to one call, for the others."""

_FILTER: Final = "ask"
_SCRIPT: Final = "ask"
_TO: Final = "cluster"
_KEPT: Final = "kept"
_BELIEVED: Final = "believed"
_LIVE: Final = "live"
_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http.lua.v3"

# What is outside of the function lasts as long as the configuration, for each of Envoy's threads.
_CODE: Final = f"""\
local answered = {{}}
function envoy_on_request(request)
  local headers = request:headers()
  local length = tonumber(headers:get("content-length") or "")
  local method = headers:get(":method")
  local none = length == nil and (method == "GET" or method == "HEAD" or method == "OPTIONS")
  if none or length ~= nil and length <= request:filterContext():get("{_KEPT}") then
    return
  end
  local cluster = request:filterContext():get("{_TO}")
  if request:timestamp() - (answered[cluster] or 0) < request:filterContext():get("{_BELIEVED}") then
    return
  end
  local live = request:filterContext():get("{_LIVE}") or "{MODELWARD.live}"
  local question = {{[":method"] = "GET", [":path"] = live, [":authority"] = "router"}}
  local answer = request:httpCall(cluster, question, nil, {ASK_MILLISECONDS})
  if answer[":status"] == "503" then
    request:headers():replace("{HEADER}", cluster)
    request:clearRouteCache()
  else
    answered[cluster] = request:timestamp()
  end
end
"""

Json = dict[str, Any]


def http_filter() -> Json:
    """Does nothing but where a route says `asked_first`."""
    typed = {"@type": f"{_TYPE}.Lua", "source_codes": {_SCRIPT: {"inline_string": _CODE}}}
    return {"name": _FILTER, "typed_config": typed}


def asked_first(cluster: str, kept: int, *, grpc: bool, live: str = MODELWARD.live) -> Json:
    """Of a route, or of one of its weighted clusters: `cluster` is asked before a body of more than `kept` bytes, or of
    unknown size, is taken. `live`: by which path it says that it lives."""
    context: Json = {_TO: cluster, _KEPT: kept, _BELIEVED: GRPC_BELIEVES_MILLISECONDS if grpc else 0}
    if live != MODELWARD.live:
        context[_LIVE] = live
    typed = {"@type": f"{_TYPE}.LuaPerRoute", "name": _SCRIPT, "filter_context": context}
    return {"typed_per_filter_config": {_FILTER: typed}}
