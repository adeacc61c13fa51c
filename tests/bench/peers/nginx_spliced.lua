-- Bodies are passed on as they are, unchecked.
local fanout = require("nginx_fanout")

local service = {}

function service.answer()
    local answers, elapsed = fanout.fetch_all()
    local results, errors = {}, {}
    for index, name in ipairs(fanout.settings.names) do
        local answer = answers[index]
        local ok = fanout.is_ok(answer)
        results[index] = table.concat({
            '{"id":"', name, '","ok":', tostring(ok), ',"status":', answer.status,
            ',"elapsed_ms":', elapsed, ',"body":', ok and answer.body or "null", "}",
        })
        if not ok then
            errors[#errors + 1] = '{"id":"' .. name .. '","code":"failed"}'
        end
    end
    local status = #errors == 0 and "ok" or "partial"
    fanout.send(table.concat({
        '{"status":"', status, '","elapsed_ms":', elapsed,
        ',"results":[', table.concat(results, ","), '],"errors":[', table.concat(errors, ","), "]}",
    }), #errors == 0)
end

return service
