-- Bodies are parsed and written again, by cjson. Numbers are doubles for it.
local cjson = require("cjson")
local fanout = require("nginx_fanout")

local service = {}

cjson.encode_number_precision(14)

function service.answer()
    local answers, elapsed = fanout.fetch_all()
    local results, errors = {}, {}
    for index, name in ipairs(fanout.settings.names) do
        local answer = answers[index]
        local parsed, body = pcall(cjson.decode, answer.body)
        local ok = parsed and fanout.is_ok(answer)
        local result = {
            id = name,
            ok = ok,
            status = answer.status,
            elapsed_ms = tonumber(elapsed),
            body = parsed and body or cjson.null,
        }
        if not ok then
            result.error = { id = name, code = "failed", message = "status " .. answer.status }
            errors[#errors + 1] = result.error
        end
        results[index] = result
    end
    -- An empty table would be written as an object.
    fanout.send(table.concat({
        '{"status":"', #errors == 0 and "ok" or "partial", '","elapsed_ms":', elapsed,
        ',"results":', cjson.encode(results),
        ',"errors":', #errors > 0 and cjson.encode(errors) or "[]", "}",
    }), #errors == 0)
end

return service
