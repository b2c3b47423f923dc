-- What nginx is scripted to do around its cache: who may enter, and what is told and noted of each answer.
--
-- Written for LuaJIT: what runs for a hit goes through calls that it compiles (FFI of resty.core, plain searches,
-- bytes), but for two of the module's own; it makes no tables, and keeps state in tables of the worker.

local cmcd = require "cmcd"
local lrucache = require "resty.lrucache"
local sessions = require "sessions"
local tokens = require "tokens"

local byte, find, sub, floor = string.byte, string.find, string.sub, math.floor
local ngx, var, header = ngx, ngx.var, ngx.header
local exit, time, now, unescape = ngx.exit, ngx.time, ngx.now, ngx.unescape_uri
local method, start_time = ngx.req.get_method, ngx.req.start_time
local set_uri, set_args = ngx.req.set_uri, ngx.req.set_uri_args

local AMPERSAND, QUESTION = byte("&"), byte("?")
-- `/t/`
local BEFORE = 3
-- Seconds for which what TCP said of a connection holds, and the connections that it is kept for.
local FRESH, CONNECTIONS = 0.02, 4096
-- nginx does not tell how long a segment is: what fits into a frame of Ethernet.
local SEGMENT = 1448

local paths = assert(lrucache.new(CONNECTIONS))

local M = {}

function M.start(file)
    tokens.start(file)
end

-- Where the parameter CMCD of a query is: its first byte and, where others follow, the `&` after it.
local function parameter(text, from)
    from = find(text, "CMCD=", from, true)
    while from and from > 1 do
        local before = byte(text, from - 1)
        if before == AMPERSAND or before == QUESTION then
            break
        end
        from = find(text, "CMCD=", from + 5, true)
    end
    if from then
        return from, find(text, "&", from, true)
    end
end

-- Before the cache: the token is judged and taken off the path, CMCD off the query.
function M.enter()
    local uri = var.uri
    local slash = find(uri, "/", BEFORE + 1, true)
    if not slash then
        return exit(401)
    end
    local path = sub(uri, slash)
    local grant, status = tokens.judge(sub(uri, BEFORE + 1, slash - 1), path, time())
    if not grant then
        return exit(status)
    end
    var.holder = grant.holder
    set_uri(path)
    local args = var.args
    if not args then
        return
    end
    local from, behind = parameter(args, 1)
    if not from then
        return
    end
    if from == 1 then
        set_args(behind and sub(args, behind + 1) or "")
    else
        set_args(sub(args, 1, from - 2) .. (behind and sub(args, behind) or ""))
    end
end

-- What TCP says of this connection, as the beginning of a member of CMSD-Dynamic.
local function of_path(at)
    local connection = var.connection
    local path = paths:get(connection)
    if path and at - path.at < FRESH then
        return path.said
    end
    local micros, window = tonumber(var.tcpinfo_rtt), tonumber(var.tcpinfo_snd_cwnd)
    local said = '"edge";rd='
    if micros and window then
        local rate = floor(window * SEGMENT * 8000 / (micros > 0 and micros or 1))
        said = '"edge";etp=' .. rate .. ";rtt=" .. floor(micros / 1000) .. ";rd="
    end
    if path then
        path.at, path.said = at, said
    else
        paths:set(connection, { at = at, said = said })
    end
    return said
end

local MANIFESTS = {
    ["application/vnd.apple.mpegurl"] = true,
    ["application/x-mpegurl"] = true,
    ["application/dash+xml"] = true,
}

-- With the head of each answer: CMSD is said, and the session that it is for is noted.
function M.answered()
    local at, status, cached = now(), ngx.status, var.upstream_cache_status
    local kind = header["Content-Type"]
    if kind then
        local main = sub(kind, 1, 6)
        if main == "video/" or main == "audio/" or MANIFESTS[kind] then
            local said = of_path(at) .. floor((at - start_time()) * 1000 + 0.5)
            local before = cached ~= "HIT" and header["CMSD-Dynamic"]
            header["CMSD-Dynamic"] = before and { before, said } or said
        end
    end
    if method() ~= "GET" or var.holder == "" then
        return
    end
    local asked = var.request_uri
    local from = find(asked, "?", 1, true)
    if not from then
        return
    end
    local behind
    from, behind = parameter(asked, from)
    if not from then
        return
    end
    local told = cmcd.read(unescape(sub(asked, from + 5, behind and behind - 1 or -1)))
    if told and told.sid then
        sessions.note(told, status >= 400, tonumber(header["Content-Length"]) or 0, cached, at)
    end
end

function M.tell()
    ngx.header["Content-Type"] = "application/json"
    ngx.print(sessions.view())
end

return M
