-- What is being watched: a session for each `sid`, in a bounded table of the worker's.

local lrucache = require "resty.lrucache"

local concat, format, gsub = table.concat, string.format, string.gsub

-- As many as ours knows.
local MOST = 10000
-- The most that a view tells.
local IN_VIEW = 1000

local all = assert(lrucache.new(MOST))

local M = {}

-- An answer to who told that, with so many bytes, from that tier.
function M.note(told, failed, bytes, tier, at)
    local session = all:get(told.sid)
    if not session then
        -- What was not found here is nobody's session, whatever it is called.
        if failed then
            return
        end
        session = {
            began = at, last = at, answers = 0, failed = 0, bytes = 0, tier = "-", bitrate = -1, buffer = -1,
            measured = -1, content = "",
        }
        all:set(told.sid, session)
    end
    session.last = at
    session.answers = session.answers + 1
    session.bytes = session.bytes + bytes
    session.tier = tier or "-"
    if failed then
        session.failed = session.failed + 1
    end
    local object = told.ot
    if told.br and (object == "v" or object == "av") then
        session.bitrate = told.br
    end
    session.buffer = told.bl or session.buffer
    session.measured = told.mtp or session.measured
    session.content = told.cid or session.content
end

local function escaped(text)
    return (gsub(text, '[%c"\\]', function(one)
        return format("\\u%04x", one:byte())
    end))
end

-- Sessions, the last ones first, a line of JSON each.
function M.view()
    local lines = {}
    for _, sid in ipairs(all:get_keys(IN_VIEW)) do
        local session = all:get(sid)
        if session then
            lines[#lines + 1] = format(
                '{"sid":"%s","content":"%s","began":%.3f,"last":%.3f,"answers":%d,"failed":%d,"bytes":%d,'
                    .. '"bitrate":%d,"buffer":%d,"measured":%d,"tier":"%s"}\n',
                escaped(sid), escaped(session.content), session.began, session.last, session.answers,
                session.failed, session.bytes, session.bitrate, session.buffer, session.measured, session.tier)
        end
    end
    return concat(lines)
end

return M
