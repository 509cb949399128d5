"""RPCs about load: now, over a window, and as series."""

from __future__ import annotations

from google.protobuf.message import Message
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.calls import Call, rpc


@rpc("FunctionGetCurrentStats")
def current(call: Call, request: pb.FunctionGetCurrentStatsRequest) -> Message:
    function = call.function(request.function_id)
    return pb.FunctionStats(num_total_tasks=len(life.live(function)))
