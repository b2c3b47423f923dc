-- Tokens as `headwater sign` makes them: `hw1.KEY.EXPIRES.PATH.BOUND.MAC`. The MAC is HMAC-SHA-256, by the
-- OpenSSL that nginx is linked with; tokens that it held for are remembered.

local base64 = require "ngx.base64"
local ffi = require "ffi"
local lrucache = require "resty.lrucache"

local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local C, decode, var = ffi.C, base64.decode_base64url, ngx.var

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t len,
                    unsigned char *mac, unsigned int *mac_len);
int CRYPTO_memcmp(const void *one, const void *other, size_t len);
]]

local CONTEXT = "headwater token 1\n"
local PARTS = [[^(hw1%.([^.]*)%.(%d+)%.([A-Za-z0-9_-]*)%.(a?))%.([A-Za-z0-9_-]+)$]]
local SLASH = byte("/")
local LENGTH = 32
-- Tokens that are remembered, and the longest of them.
local SEEN, LONGEST = 2048, 512

local seen = assert(lrucache.new(SEEN))
local mac, mac_length = ffi.new("unsigned char[?]", 64), ffi.new("unsigned int[1]")
-- Secrets by the names of their keys.
local secrets = {}

local M = {}

function M.start(file)
    local secret = assert(io.open(file, "rb"))
    secrets[""] = assert(secret:read("*a"))
    secret:close()
end

-- The client as tokens are bound to it: an address of IPv4, or a network of IPv6.
local function client()
    local address = var.binary_remote_addr
    return #address == 4 and "\n4" .. address or "\n6" .. sub(address, 1, 8)
end

-- What a token lets in, if a key of ours has signed it.
local function read(token)
    local before, key, expires, path, bound, given = match(token, PARTS)
    local secret = before and secrets[key]
    given = secret and decode(given)
    if not given or #given ~= LENGTH then
        return nil
    end
    bound = bound == "a" and client() or nil
    local signed = CONTEXT .. before .. (bound or "")
    C.HMAC(C.EVP_sha256(), secret, #secret, signed, #signed, mac, mac_length)
    if C.CRYPTO_memcmp(mac, given, LENGTH) ~= 0 then
        return nil
    end
    path = decode(path)
    if not path or path == "" then
        return nil
    end
    return {
        expires = tonumber(expires),
        path = path,
        length = #path,
        below = byte(path, -1) == SLASH,
        bound = bound,
        -- What limits go by.
        holder = sub(token, -43, -33),
    }
end

-- What a token lets in; or nothing, and the status that says why.
function M.judge(token, path, now)
    local grant = seen:get(token)
    if not grant or grant.bound and grant.bound ~= client() then
        grant = read(token)
        if not grant then
            return nil, 401
        end
        if #token <= LONGEST then
            seen:set(token, grant)
        end
    end
    if grant.expires <= now then
        return nil, 401
    end
    if grant.below then
        if sub(path, 1, grant.length) ~= grant.path then
            return nil, 403
        end
    elseif path ~= grant.path then
        return nil, 403
    end
    return grant
end

return M
