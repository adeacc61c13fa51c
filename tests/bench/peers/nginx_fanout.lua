-- What both nginx services share: the settings, and the fetches, all at once.
local cjson = require("cjson")

local fanout = {}

function fanout.read_settings(path)
    local file = assert(io.open(path))
    fanout.settings = cjson.decode(file:read("*a"))
    file:close()
    fanout.requests = {}
    for index, name in ipairs(fanout.settings.names) do
        fanout.requests[index] = { "/upstream/" .. name }
    end
end

function fanout.fetch_all()
    ngx.update_time()
    local start = ngx.now()
    local answers = { ngx.location.capture_multi(fanout.requests) }
    ngx.update_time()
    return answers, string.format("%.1f", (ngx.now() - start) * 1000)
end

function fanout.is_ok(answer)
    return answer.status >= 200 and answer.status < 300 and not answer.truncated
end

function fanout.send(text, complete)
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #text
    ngx.header["X-Fanout-Complete"] = tostring(complete)
    if not complete and not fanout.settings.may_fail then
        ngx.status = 502
    end
    ngx.print(text)
end

return fanout
