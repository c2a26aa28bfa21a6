// What a browser tells of the device it runs on; empty where it tells nothing.

const SYSTEMS = [/Android [\d.]+/, /iPhone OS [\d_]+/, /Windows NT [\d.]+/, /Mac OS X [\d_.]+/, /CrOS \S+ [\d.]+/, /Linux/];

export async function device() {
    const wanted = ["model", "platform", "platformVersion", "architecture", "bitness"];
    const data = await navigator.userAgentData?.getHighEntropyValues(wanted).catch(() => null);
    const agent = navigator.userAgent, [named] = /iPhone|iPad|Macintosh/.exec(agent) ?? [""];
    const system = SYSTEMS.map((one) => one.exec(agent)?.[0]).find(Boolean) ?? "";
    return {
        name: data?.model || named || data?.platform || "",
        system: data?.platform ? `${data.platform} ${data.platformVersion ?? ""}`.trim() : system.replaceAll("_", "."),
        processor: data?.architecture ? `${data.architecture} ${data.bitness ?? ""}`.trim() : "",
        cores: navigator.hardwareConcurrency ?? 0,
        memory: navigator.deviceMemory ? navigator.deviceMemory * 2 ** 30 : null,
        agent,
    };
}
